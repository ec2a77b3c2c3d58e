"""The laptop: runs a workflow, keeps a DuckDB catalog, offers a SQL prompt."""

"""Data contracts: the schemas of the datasets, read from schemas/*.odcs.yaml."""

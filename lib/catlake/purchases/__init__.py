"""The purchase service: change events become documents, a table and a report (docs/spec.md 4)."""

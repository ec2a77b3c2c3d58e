"""The purchase service: change events become documents, a table and a report (SPEC 4)."""

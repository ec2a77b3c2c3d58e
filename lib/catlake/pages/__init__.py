"""Pages that answer at one look: HTML files that hold their own figures, filters and charts."""

FOLDER = "reports/pages"
"""The folder of the pages, below their lake."""

"""Pages that answer at one look: HTML files that hold their own figures, filters and charts."""

FOLDER = "reports/pages"
"""Of the pages, below the lake that has them."""

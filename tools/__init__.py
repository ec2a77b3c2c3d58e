"""Builds: the development environment, the wheels for Glue, generated pages."""

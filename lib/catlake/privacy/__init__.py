"""Removes a person from a lake (docs/privacy.md)."""

"""Lossless text: JSON with exact numbers, and expressions over text columns."""

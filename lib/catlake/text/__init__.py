"""Lossless text: JSON with exact numbers, and the JSON objects of a stream."""

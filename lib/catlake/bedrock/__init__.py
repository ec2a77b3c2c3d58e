"""Tokens: what each Bedrock conversation used, and what it cost."""

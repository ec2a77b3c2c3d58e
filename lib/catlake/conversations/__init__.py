"""The chatbot Catia's conversations: from the table's items to one row a user (docs/spec.md 2)."""

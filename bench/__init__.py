"""Generated exports, the peers that read them, and the report that compares them with catlake."""

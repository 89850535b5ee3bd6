"""Corrections by hand: the file, what it says of snippets and tags, and what it gains."""

"""Published and own weights -> our networks, every key accounted for; no code of a file runs."""

"""Networks that turn clips into vectors; `catalog` finds the one that a user's words mean."""

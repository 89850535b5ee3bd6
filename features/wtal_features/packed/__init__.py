"""Stores of many videos in few files: shards of rows, and an index that is searched on disk."""

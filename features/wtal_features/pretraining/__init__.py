"""Encoders trained on videos without labels: the clips they see, and when in a video those lie."""

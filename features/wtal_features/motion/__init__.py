"""The second view: how far the content of a video moves, from its codec or from optical flow."""

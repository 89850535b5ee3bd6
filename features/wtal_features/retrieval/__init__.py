"""Which videos are alike: descriptors of frames, context over a video, similarities and neighbours.

Legend of the package: B videos of a batch, V videos, Q queries, G videos of a gallery, k
neighbours; T rows (frames or snippets) of a video, N and M rows of two of them; D dimensions.
"""

"""Contrast: losses between an embedding, its own key and others, and where the others come from.

Nothing here knows a network, a video or an option; the methods of pre-training put the parts
together. Shapes: B rows of a batch in this process, W processes, D numbers per embedding, K slots
of a queue, N = 1 + K columns of logits of which column 0 is a row's own key. Embeddings come
L2-normalised; a logit is a cosine divided by the temperature.
"""

"""Random views of clips: where they are cut, how they are coloured.

What is random is drawn once per clip, from a generator that is passed in, into a frozen
`Augmentation`; what it does is then fixed, and is done to every frame, and to colour and motion of
a clip alike. A clip of equal frames stays one.

Shapes: clips are (n, H, W, C), as they are decoded: n frames of H x W pixels, uint8 with C = 3, or
n maps of motion, float with C = 2. Colours are computed as planes (3, n, H, W) of floats in 0..1.
"""

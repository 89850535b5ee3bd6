"""Frozen encoders that `transformers` serves: V-JEPA 2, VideoMAE, DINOv2, DINOv3 and CLIP.

The networks are theirs; pixels (`pixels`), pooling (one file per family) and the refusal of what
would silently give wrong features are ours. Nothing that a model folder brings is run.
"""

from wtal_features.encoders.hub.encoder import HubEncoder
from wtal_features.encoders.hub.load import load_hub

__all__ = ["HubEncoder", "load_hub"]

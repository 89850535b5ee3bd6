"""Features of untrimmed videos: the store that holds them, and the field's layouts read into it.

The contract of the store is features/README.md. Importing this package brings NumPy, not torch.
"""

from wtal_features.convert import ConversionReport, convert
from wtal_features.errors import FeatureError, Finding
from wtal_features.manifest import Timing
from wtal_features.store import FeatureStore, StoreWriter, check_store, open_store
from wtal_features.tags import Tags, read_tags, write_tags

__all__ = [
    "ConversionReport",
    "FeatureError",
    "FeatureStore",
    "Finding",
    "StoreWriter",
    "Tags",
    "Timing",
    "check_store",
    "convert",
    "open_store",
    "read_tags",
    "write_tags",
]

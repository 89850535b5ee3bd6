"""Features of untrimmed videos: the store that holds them, and the field's layouts read into it.

The contract of the store is features/README.md. Importing this package brings NumPy, not torch;
`extract`, which needs torch and PyAV, is loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from wtal_features.convert import ConversionReport, convert
from wtal_features.errors import FeatureError, Finding
from wtal_features.manifest import Timing
from wtal_features.store import FeatureStore, StoreWriter, check_store, open_store
from wtal_features.tags import Tags, read_tags, write_tags

if TYPE_CHECKING:
    from wtal_features.extraction import extract as extract

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
    "extract",
    "open_store",
    "read_tags",
    "write_tags",
]


def __getattr__(name: str) -> Any:
    if name != "extract":
        raise AttributeError(f"module 'wtal_features' has no attribute {name!r}")
    from wtal_features.extraction import extract

    return extract


def __dir__() -> list[str]:
    return sorted(__all__)

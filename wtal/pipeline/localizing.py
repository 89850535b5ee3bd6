"""Stage `localize`: scored segments of every video, asked anew only where something changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.calibration import read_calibration
from wtal.checkpoint import MODEL_FILE
from wtal.context import CONTEXT_FILE
from wtal.localize import Localizer, VideoDetections
from wtal.pipeline.extraction import Extracted
from wtal.pipeline.ledger import Ledger, digest, file_digest
from wtal.pipeline.localized import Localized
from wtal.pipeline.places import Places
from wtal.pipeline.tagging import Tagging
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal.results import SKIPPED_FILE, write_results, write_skipped
from wtal_features import FeatureError, FeatureStore

STAGE = "localize"


@dataclass(frozen=True)
class TaggedLocalizer(Localizer):
    """A localizer that is told of what the video was tagged with, and looks for that in any case.

    Args:
        tags: of a video that was learned from; of others nothing is told.
    """

    tags: tuple[str, ...] = ()

    def kept_classes(self, class_scores_C: NDArray[np.float32]) -> NDArray[np.int64]:
        """Those that the model finds, and the tags."""
        tagged = [self.classes.index(tag) for tag in self.tags if tag in self.classes]
        found = super().kept_classes(class_scores_C)
        if not tagged or len(found) == 0:
            return found
        likely = class_scores_C[found] >= self.config.class_threshold
        # The best class of a video in which none is likely is a guess; the tags are none.
        return np.union1d(found[likely], tagged).astype(np.int64)


def told_of(localizer: Localizer, tags: tuple[str, ...]) -> TaggedLocalizer:
    """The same localizer for a video with these tags."""
    parts = {part.name: getattr(localizer, part.name) for part in fields(Localizer)}
    return TaggedLocalizer(**parts, tags=tags)


def localizing(
    words: Words,
    tagging: Tagging,
    extracted: Extracted,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> int:
    """Write detections.json.

    Returns:
        Number of videos that the model was asked about.

    Raises:
        WtalError, FeatureError: what the user can mend.
    """
    settings = [f"localize.{text}" for text in words.of("localize")]
    model = model_key(places, settings)
    tags = tagging.tags_of_training
    keys = {
        video: digest(model, extracted.features_key(video), tags.get(video, ()))
        for video in extracted.videos
    }
    calibration = read_calibration(places.model)
    details: dict[str, object] = {
        "run": places.model.name,
        "features": places.features.name,
        "encoder": extracted.store.manifest.encoder,
        "model": model,
    }
    if calibration is not None:
        details["calibration"] = calibration.to_json()
    key = digest(keys, details, sorted(extracted.skipped.items()))
    if ledger.done(STAGE, key) and places.detections.is_file():
        return 0
    ledger.begin(STAGE, key)
    started = time.perf_counter()
    localizer = Localizer.load(places.model, device, settings)
    with Localized(places.localized) as known:
        new = sum(not known.has(video, keys[video]) for video in keys)
        with telling.bar("localizing") as progress:
            found = _answers(localizer, extracted.store, keys, tags, known, progress)
            faults = write_results(places.detections, found, details)
        known.forget_others(keys)
    write_skipped(places.model / SKIPPED_FILE, {**extracted.skipped, **faults})  # for the page
    seconds = time.perf_counter() - started
    ledger.finish(STAGE, seconds, videos=len(keys) - len(faults), new=new, faults=faults)
    return new


def model_key(places: Places, settings: list[str]) -> str:
    """Changes with the weights, the config, the context, and how segments are cut."""
    files = (MODEL_FILE, "config.yaml", CONTEXT_FILE)
    present = [places.model / name for name in files if (places.model / name).is_file()]
    return digest([[path.name, file_digest(path)] for path in present], settings)


def _answers(
    localizer: Localizer,
    store: FeatureStore,
    keys: Mapping[str, str],
    tags: Mapping[str, tuple[str, ...]],
    known: Localized,
    progress: Callable[[int, int], None],
) -> Iterator[tuple[str, VideoDetections | FeatureError]]:
    """Video after video, from memory or from the model."""
    for done, (video, key) in enumerate(keys.items(), 1):
        if known.has(video, key):
            yield video, known.get(video)
        else:
            told = told_of(localizer, tags.get(video, ()))
            for _, found in told.localize_store(store, [video]):
                if isinstance(found, VideoDetections):
                    known.put(video, key, found)
                yield video, found
        progress(done, len(keys))

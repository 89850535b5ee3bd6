"""Every reader of the project: the sound files it starts from, and the calls that read them."""

from __future__ import annotations

import atexit
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.fuzz import seeds
from tests.fuzz.cases import Files
from tests.fuzz.forking import Forked

# Reads the files in a folder. What it gives is of no interest.
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """One kind of input.

    Attributes:
        seeds: Sound inputs.
        reads: Calls; each must give a value or refuse.
    """

    seeds: Callable[[], Sequence[Files]]
    reads: tuple[Read, ...]


def _only(folder: Path) -> Path:
    """The one file of an input."""
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


# Text ---------------------------------------------------------------------------------------------


def _evaluator_annotations(folder: Path) -> object:
    from wtal_eval import read_annotations

    return read_annotations(_only(folder))


def _training_labels(folder: Path) -> object:
    from wtal.inputs import read_labels

    return read_labels(annotations=_only(folder))


def _feature_annotations(folder: Path) -> object:
    from wtal_features.annotations import read_activitynet

    return str(read_activitynet(_only(folder)))


def _clip_list(folder: Path) -> object:
    from wtal_features.probing.clips import read_clips

    return read_clips(_only(folder))


def _evalkit_folder(folder: Path) -> object:
    from wtal_eval import read_annotations

    return read_annotations(folder)


def _intervals(folder: Path) -> object:
    from wtal_eval.text_files import read_intervals

    return read_intervals(_only(folder))


def _video_list(folder: Path) -> object:
    from wtal_eval.io import read_video_list

    return read_video_list(_only(folder))


def _detections(folder: Path) -> object:
    from wtal_eval import read_detections

    return read_detections(_only(folder))


def _video_scores(folder: Path) -> object:
    from wtal_eval.io import read_video_scores

    return read_video_scores(_only(folder))


def _tags(folder: Path) -> object:
    from wtal_features.tags import read_tags, tags_text

    return tags_text(read_tags(_only(folder)))  # what was read can be written


def _corrections(folder: Path) -> object:
    from wtal.corrections.file import read_corrections

    return read_corrections(_only(folder)).digest()


def _calibration(folder: Path) -> object:
    from wtal.calibration.file import read_calibration

    path = _only(folder)
    found = read_calibration(folder if path.name == "calibration.json" else path)
    return found and (found.score_at(0.5), found.to_json())


def _config(folder: Path) -> object:
    from wtal.config import dump_config, load_config, resolved

    return dump_config(resolved(load_config(_only(folder)), 16, 8))


# Arrays -------------------------------------------------------------------------------------------


def _npy(folder: Path) -> object:
    from wtal_features.npy import check_finite, npy_shape, read_npy

    npy_shape(_only(folder))
    array = read_npy(_only(folder))
    check_finite(array, _only(folder))
    return array


def _converted(kind: str, *, archive: bool = False) -> Read:
    """What `wtal convert` does with every video of a folder, or of the one file in it."""

    def read(folder: Path) -> object:
        from wtal_features.layouts import Limits
        from wtal_features.layouts.kinds import feature_file, list_source, streams_of

        source = feature_file(folder) if kind == "wtalc" else _only(folder) if archive else folder
        with _forking(), tempfile.TemporaryDirectory() as scratch:
            layout = list_source(kind, source, None, Limits(max_seconds=60))
            if layout.prepare:
                layout.prepare(Path(scratch))
            streams_of(layout)
            _read_all(layout)
        return None

    return read


def _forking() -> Any:
    """A fresh Python for every object array would take most of the night."""
    from wtal_features.layouts import wtalc

    return patch.object(wtalc, "subprocess", Forked)


def _read_all(layout: Any) -> None:
    """A video that is refused costs itself alone, so the others are read, too."""
    from wtal_features.errors import FeatureError

    fault = None
    for read in layout.videos.values():
        try:
            for array in read().values():
                array.copy()
        except FeatureError as error:
            fault = error
    if fault:
        raise fault


def _wtalc_annotations(folder: Path) -> object:
    from wtal_features.layouts import Limits
    from wtal_features.layouts.wtalc import read_annotations

    with _forking():
        return str(read_annotations(folder / "X-Annotations", Limits(max_seconds=60)))


def _whitening(folder: Path) -> object:
    from wtal_features.retrieval.whitening import load_whitening

    return load_whitening(_only(folder))


def _store(folder: Path) -> object:
    from wtal_features.store import check_store, open_store

    store = open_store(folder)
    check_store(store)
    for video in store.videos:
        times = store.timing(video)
        store.read(video)
        float(times.fps)
    return store.faults()


# Checkpoints --------------------------------------------------------------------------------------


def _weights(folder: Path) -> object:
    from wtal_features.checkpoints.reading import read_tensors

    # Mapped tensors come from the disk when they are used, wherever the file said they lie.
    return [tensor.clone() for tensor in read_tensors(_only(folder)).values()]


def _encoder(folder: Path) -> object:
    from wtal_features.checkpoints.own import read_encoder

    return read_encoder(_only(folder))


def _context(folder: Path) -> object:
    from wtal_features.retrieval.context import load_context

    return load_context(_only(folder))


def _run_weights(folder: Path) -> object:
    from wtal.localize import Localizer

    return Localizer.load(folder)


def _run_state(folder: Path) -> object:
    from wtal.checkpoint import STATE_FILE, load_state

    return load_state(folder / STATE_FILE)


def _run_facts(folder: Path) -> object:
    from wtal.checkpoint import MODEL_FILE, STATE_FILE, load_facts

    load_facts(folder / STATE_FILE)
    return load_facts(folder / MODEL_FILE, "wtal.basnet")


def _pretraining_state(folder: Path) -> object:
    from wtal_features.methods.folder import load_state

    return load_state(folder)


def _pretraining_words(folder: Path) -> object:
    from wtal_features.methods.folder import last_figures, metrics, open_folder

    open_folder(folder, {"method": "cvrl", "config": {"train": {"steps": 9}}, "seed": 0})
    with metrics(folder, 0, 7):
        pass
    return last_figures(folder)


def _ledger(folder: Path) -> object:
    from wtal.pipeline.ledger import Ledger

    ledger = Ledger(folder / "run.json")
    for stage in ledger.records():
        ledger.pause(stage, 1.0)
    return ledger


def _remembered(folder: Path) -> object:
    from wtal.pipeline.localized import Localized

    with Localized(folder / "localized.jsonl") as remembered:
        return [remembered.get(video) for video in ("v0", "v1") if remembered.has(video, "key")]


def _journal(folder: Path) -> object:
    from wtal_features.writer import StoreWriter

    with StoreWriter(folder, encoder="i3d", stride=16) as writer:
        return writer


def _tensorflow(folder: Path) -> object:
    from wtal_features.checkpoints.tf_bundle import open_bundle

    bundle = open_bundle(folder / "ckpt")
    return [bundle.read(name) for name in bundle.entries]


# Retrieval and videos -----------------------------------------------------------------------------


def _rankings(folder: Path) -> object:
    from wtal_eval.retrieval.rankings import read_rankings

    return read_rankings(folder / "ranking.json")


def _truth(folder: Path) -> object:
    from wtal_eval.faults import EvalError
    from wtal_eval.retrieval.protocols import PROTOCOLS, read_tasks

    (path,) = folder.glob("truth.*")
    fault = None
    for protocol in PROTOCOLS:
        try:
            read_tasks(path, protocol, None)
        except EvalError as error:
            fault = error
    if fault:
        raise fault
    return None


@cache
def _decoder() -> Any:
    """One decoder for all videos, as `wtal extract` has; it is watched over as there."""
    from wtal_features.video.decoder import Decoder
    from wtal_features.video.limits import Limits

    decoder = Decoder("wtal_features.video.worker", Limits(stall_s=30, memory_gb=1))

    def watch() -> None:
        while True:
            time.sleep(0.5)
            with suppress(ProcessLookupError):
                decoder.end_if_stalled()

    threading.Thread(target=watch, daemon=True).start()
    atexit.register(decoder.close)
    return decoder


def _video(folder: Path) -> object:
    from wtal_features.clips import ClipSpec, Preprocess
    from wtal_features.video.decoder import fault_of
    from wtal_features.video.windows import window_plan
    from wtal_features.video.worker import Request

    plan = window_plan(ClipSpec(4, 2, "rgb", Preprocess(32, 32)), 8)
    request = Request(str(_only(folder)), "25", 10_000, (plan,))
    last: dict[str, Any] = {}
    for message, _ in _decoder().answers(request):
        last = message
    if last["kind"] == "fault":
        raise fault_of(last)
    return last


READERS: dict[str, Reader] = {
    "annotations": Reader(
        seeds.truths,
        (_evaluator_annotations, _training_labels, _feature_annotations, _clip_list),
    ),
    "evalkit": Reader(seeds.evalkit, (_evalkit_folder,)),
    "evalkit-lines": Reader(seeds.lines, (_detections, _intervals, _video_list)),
    "detections": Reader(seeds.detections, (_detections, _video_scores)),
    "tags": Reader(seeds.tags, (_tags,)),
    "corrections": Reader(seeds.corrections, (_corrections,)),
    "calibration": Reader(seeds.calibration, (_calibration,)),
    "config": Reader(seeds.config, (_config,)),
    "manifest": Reader(seeds.manifest, (_store,)),
    "npy": Reader(seeds.npy, (_npy, _converted("npy"))),
    "npz": Reader(seeds.npz, (_converted("npz"), _converted("npz", archive=True), _whitening)),
    "hdf5": Reader(seeds.hdf5, (_converted("hdf5"), _converted("hdf5", archive=True))),
    "table": Reader(seeds.table, (_converted("csv"),)),
    "wtalc": Reader(seeds.wtalc, (_converted("wtalc"), _wtalc_annotations)),
    "weights": Reader(seeds.weights, (_weights,)),
    "encoder": Reader(seeds.encoder, (_encoder,)),
    "context": Reader(seeds.context, (_context,)),
    "run-folder": Reader(seeds.run_folder, (_run_weights, _run_state, _run_facts)),
    "pretraining-folder": Reader(
        seeds.pretraining_folder, (_pretraining_state, _pretraining_words)
    ),
    "ledger": Reader(seeds.ledger, (_ledger,)),
    "remembered": Reader(seeds.remembered, (_remembered,)),
    "journal": Reader(seeds.journal, (_journal,)),
    "tensorflow": Reader(seeds.tensorflow, (_tensorflow,)),
    "retrieval": Reader(seeds.retrieval, (_rankings, _truth)),
    "video": Reader(seeds.video, (_video,)),
}

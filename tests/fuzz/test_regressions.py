"""Files that once crashed a reader, each as small as it crashed: now a value or one sentence."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from tests.features.test_own_checkpoints import ABOUT
from tests.features.videos import numbered, write_video
from tests.fuzz import seeds
from wtal.calibration.file import read_calibration
from wtal.checkpoint import MODEL_FILE, load_facts, load_network, load_state
from wtal.config import load_config
from wtal.corrections.file import read_corrections
from wtal.errors import WtalError
from wtal.model import BaSNet, ModelConfig
from wtal.peers import ALONE
from wtal.pipeline.ledger import Ledger
from wtal.pipeline.localized import Localized
from wtal.training import _metrics
from wtal_eval import EvalError, read_detections
from wtal_eval import read_annotations as read_annotations_of
from wtal_features.checkpoints import own
from wtal_features.checkpoints.reading import read_tensors
from wtal_features.encoders.catalog import load_encoder
from wtal_features.errors import FeatureError
from wtal_features.layouts import Limits, npz
from wtal_features.layouts.table import read_video
from wtal_features.layouts.wtalc import read_annotations
from wtal_features.methods.folder import STATE, metrics
from wtal_features.methods.folder import load_state as load_pretraining
from wtal_features.retrieval.whitening import load_whitening
from wtal_features.store import open_store
from wtal_features.tags import read_tags
from wtal_features.video.serving import answer_all
from wtal_features.video.wire import receive, send
from wtal_features.video.worker import Request, _cut
from wtal_features.writer import JOURNAL, StoreWriter

DEEP = "[" * 100_000
LISTED = b"PK\x01\x02"  # before a member in the directory of an archive
HUGE = "1" + "0" * 400  # an integer that no float can hold


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(kind: type[Exception], name: str, call: Callable[[], object], *, says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        call()
    message = str(caught.value)
    assert name in message
    assert message.isprintable()
    assert len(message) < 2300


# Refusals -----------------------------------------------------------------------------------------


def test_tags_with_a_header_of_5000_letters_are_refused_without_them(tmp_path: Path) -> None:
    path = written(tmp_path / "tags.csv", "video,label," + "x" * 5000 + "\n")
    refused(FeatureError, "tags.csv", lambda: read_tags(path), says="unknown column")


def test_a_key_of_corrections_that_ends_a_line_is_shown_escaped(tmp_path: Path) -> None:
    videos = {"v": {"complete": False, "segments": [{"\u2028": 1}]}}
    text = json.dumps({"format": "wtal corrections 1", "videos": videos})
    path = written(tmp_path / "corrections.json", text)
    refused(WtalError, "corrections.json", lambda: read_corrections(path), says=r"key '\\u2028'")


# Text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["2001-99-01", "2001-01-01T99:99:99Z", "!!int x", "!!bool x", "!!timestamp x"]
)
def test_a_config_with_a_value_that_looks_like_a_date_or_number_is_refused(
    value: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "config.yaml", f"train:\n  steps: {value}\n")
    says = "is not a plain YAML"
    refused(WtalError, "config.yaml", lambda: load_config(path), says=says)
    override = f"train.steps={value}"
    refused(WtalError, "train.steps", lambda: load_config(None, [override]), says=says)


def test_a_number_of_a_config_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "config.yaml", f"train: {{lr: {HUGE}}}\n")
    refused(WtalError, "config.yaml", lambda: load_config(path), says="expected a number")


def test_a_value_of_a_config_out_of_range_is_refused_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "config.yaml", "model: {dropout: 1000.0}\n")
    refused(WtalError, "config.yaml: ", lambda: load_config(path), says="model.dropout is 1000.0")
    override = ["localize.class_threshold=7"]
    says = r"-o localize.class_threshold=7: localize.class_threshold is 7"
    path = written(tmp_path / "config.yaml", "model: {dropout: 0.5}\n")
    refused(WtalError, "-o ", lambda: load_config(path, override), says=says)


def test_a_class_of_the_evalkit_too_long_for_a_file_name_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "detclasslist.txt", "7 " + "x" * 300 + "\n")
    says = "first part of a file's name"
    refused(EvalError, "detclasslist.txt", lambda: read_annotations_of(tmp_path), says=says)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_a_config_of_30000_levels_is_refused_at_once(opening: str, tmp_path: Path) -> None:
    path = written(tmp_path / "config.yaml", "train: " + opening * 30_000)
    begun = time.process_time()
    says = "nested deeper than 32|is not a plain YAML file"
    refused(WtalError, "config.yaml", lambda: load_config(path), says=says)
    assert time.process_time() - begun < 2  # it took half a minute


def test_a_threshold_of_a_calibration_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    files = seeds.calibration()[0]
    text = files["calibration.json"].decode().replace('"threshold": 0.7', f'"threshold": {HUGE}')
    written(tmp_path / "calibration.json", text)
    refused(WtalError, "calibration.json", lambda: read_calibration(tmp_path), says="damaged")


def test_a_frame_rate_of_a_manifest_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    files = seeds.manifest()[0]
    text = files["manifest.json"].decode().replace('"stride": 16', f'"stride": {HUGE}')
    for name, content in (files | {"manifest.json": text.encode()}).items():
        written(tmp_path / name, content)
    refused(FeatureError, "manifest.json", lambda: open_store(tmp_path), says="above zero")


def test_a_number_of_a_table_beyond_float32_becomes_infinite_in_silence(tmp_path: Path) -> None:
    path = written(tmp_path / "video.csv", "1e39,0.5\n")  # the store refuses it, with the snippet
    assert read_video(path)[""].tolist() == [[np.inf, 0.5]]


# Logs and caches of our own -----------------------------------------------------------------------


@pytest.mark.parametrize("line", [DEEP, "7", "{}", '{"step": "x"}', '{"step": 1e999}', "\ufffd"])
def test_a_damaged_line_of_a_training_log_is_dropped(line: str, tmp_path: Path) -> None:
    good = '{"step": 1, "total": 0.5}\n'
    path = written(tmp_path / "metrics.jsonl", good + line + "\n")
    with _metrics(tmp_path, 5, ALONE):
        pass
    assert path.read_text() == good


@pytest.mark.parametrize("line", [DEEP.encode(), b"\xff\xfe", b"7"])
def test_a_damaged_line_of_a_pretraining_log_is_dropped(line: bytes, tmp_path: Path) -> None:
    good = b'{"stage_number": 0, "step": 1}\n'
    path = written(tmp_path / "metrics.jsonl", good + line + b"\n")
    with metrics(tmp_path, 0, 5):
        pass
    assert path.read_bytes() == good


@pytest.mark.parametrize("line", [DEEP, "7", "null", '{"video": 5}', '{"video": "v", "entry": {}}'])
def test_a_journal_with_a_line_of_another_kind_is_refused(line: str, tmp_path: Path) -> None:
    written(tmp_path / JOURNAL, f"{{}}\n{line}\n")

    def enter() -> None:
        with StoreWriter(tmp_path, encoder="i3d", stride=16):
            pass

    refused(FeatureError, JOURNAL, enter, says="is damaged")


@pytest.mark.parametrize("line", [DEEP, "7", "null", "[1]"])
def test_a_damaged_line_of_remembered_detections_is_forgotten(line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "localized.jsonl", line + "\n")
    with Localized(path) as remembered:
        assert not remembered.has("v", "key")


def test_a_ledger_with_a_record_of_another_form_is_refused(tmp_path: Path) -> None:
    stages = {"train": {"key": "k", "finished": True, "seconds": "soon", "about": {}}}
    path = written(tmp_path / "run.json", json.dumps({"format": "wtal run 1", "stages": stages}))
    refused(WtalError, "run.json", lambda: Ledger(path), says="is damaged")


def test_remembered_detections_of_another_form_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "localized.jsonl", '["v", "key", {"found": [7]}]\n')
    with Localized(path) as remembered:
        assert remembered.has("v", "key")
        refused(WtalError, "localized.jsonl", lambda: remembered.get("v"), says="is damaged")


# Arrays and archives ------------------------------------------------------------------------------


def test_an_npz_of_detections_that_claims_80_terabytes_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    path = tmp_path / "found.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("video", "label", "start", "end", "score"):
            archive.writestr(f"{name}.npy", start + header)
    refused(EvalError, "found.npz", lambda: read_detections(path), says="cannot be read as .npz")


def changed(data: bytes, mark: bytes, at: int, value: int) -> bytes:
    """The archive with another byte at a distance behind the last mark."""
    place = data.rindex(mark) + at
    return data[:place] + bytes([value]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("mark", "at", "value"),
    [(LISTED, 6, 255), (LISTED, 10, 99), (LISTED, 8, 1), (b"PK\x03\x04", 0, 0)],
    ids=["a version to come", "an unknown packing", "encrypted", "no header where it should be"],
)
def test_an_archive_that_cannot_be_unpacked_is_refused(
    mark: bytes, at: int, value: int, tmp_path: Path
) -> None:
    path = written(tmp_path / "video.npz", changed(seeds.npz()[3]["video.npz"], mark, at, value))
    refused(FeatureError, "video.npz", lambda: read_archived(path, Limits()), says="npz")
    refused(FeatureError, "video.npz", lambda: load_whitening(path), says="npz")


def test_a_member_whose_lzma_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "video.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("features.npy", seeds.npy()[0]["video.npy"])
    data = path.read_bytes()
    middle = data.index(b"features.npy") + len(b"features.npy") + 9
    written(path, data[:middle] + b"\xff" * 40 + data[middle + 40 :])
    refused(FeatureError, "video.npz", lambda: read_archived(path, Limits()), says="unpacked")


def read_archived(path: Path, limits: Limits) -> list[object]:
    return [read() for read in npz.read_archive(path, limits).videos.values()]


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("|S0", f"({2**63},)"),
        ("|S0", f"({2**40},)"),
        ("<f8", f"({2**40}, 0)"),
        ("|S1", "(" + "1," * 90 + ")"),
    ],
)
def test_annotations_that_claim_values_without_bytes_are_refused(
    kind: str, shape: str, tmp_path: Path
) -> None:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    written(tmp_path / "videoname.npy", start + header + b"v" * ("1,1" in shape))
    says = "one entry per video"
    refused(FeatureError, "videoname.npy", lambda: read_annotations(tmp_path, Limits()), says=says)


def test_a_whitening_with_a_number_beyond_float32_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "white.npz"
    arrays = {"lams": np.ones(1), "mu": np.ones((2, 1)), "Utmu": np.ones((1, 1))}
    np.savez(path, allow_pickle=False, U=np.full((2, 1), 1e300), **arrays)
    refused(FeatureError, "white.npz", lambda: load_whitening(path), says="infinity")


@pytest.mark.parametrize("header", [b"{'descr': (\n", b"{'descr': '<f8',\n\x1b[31m}\n", b"(L\n"])
def test_an_npz_of_detections_with_half_a_header_is_refused_on_one_line(
    header: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "found.npz"
    with zipfile.ZipFile(path, "w") as archive:
        length = len(header).to_bytes(2, "little")
        archive.writestr("video.npy", b"\x93NUMPY\x01\x00" + length + header)
    refused(EvalError, "found.npz", lambda: read_detections(path), says="cannot be read as .npz")


NO_TEXT = np.array([0x110000, 0xFFFFFFFF], np.uint32).view("<U1")  # Unicode ends before


@pytest.mark.parametrize("field", ["video", "labels"])
def test_an_npz_of_detections_with_names_beyond_unicode_is_refused(
    field: str, tmp_path: Path
) -> None:
    columns = {"video": np.array(["v", "w"]), "label": np.array([0, 1]), "labels": NO_TEXT}
    if field == "video":
        columns |= {"video": NO_TEXT, "labels": np.array(["a", "b"])}
    numbers = {name: np.ones(2) for name in ("start", "end", "score")}
    np.savez(tmp_path / "found.npz", allow_pickle=False, **columns, **numbers)
    read = lambda: read_detections(tmp_path / "found.npz")  # noqa: E731
    refused(EvalError, "found.npz", read, says=f"{field} holds what is no text")


def test_annotations_with_names_beyond_unicode_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "videoname.npy", NO_TEXT)
    read = lambda: read_annotations(tmp_path, Limits())  # noqa: E731
    refused(FeatureError, "videoname.npy", read, says="holds what is no text")


def test_an_npz_of_detections_that_python_2_wrote_is_read_in_silence(tmp_path: Path) -> None:
    """Its shapes are of long integers; so says a warning of NumPy, which nobody can mend."""
    path = tmp_path / "found.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, kind in {"video": "<U1", "label": "<U1", "start": "<f8", "end": "<f8"}.items():
            archive.writestr(f"{name}.npy", of_python_2(kind))
        archive.writestr("score.npy", of_python_2("<f8"))
    assert read_detections(path).score.tolist() == [0.0]


def of_python_2(kind: str) -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (1L,), }}\n".encode()
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    return start + header + bytes(np.dtype(kind).itemsize)


def test_a_checkpoint_cannot_set_the_state_of_numpys_own_types(tmp_path: Path) -> None:
    """Of a state without two of its parts NumPy reads memory that is not its own."""
    content = {"state_dict": {"x": torch.ones(2)}, "best": np.float64(0.5)}
    path = tmp_path / "net.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert data.count(b"NNNJ") == 1  # (3, "<", None, None, None, -1, ...)
    written(path, data.replace(b"NNNJ", b"NJ"))
    assert read_tensors(path)["x"].tolist() == [1, 1]  # the process ended here


# Encoders -----------------------------------------------------------------------------------------


def encoder_file(**changes: object) -> bytes:
    return save({"x": torch.ones(1)}, {own._ENTRY: json.dumps(ABOUT.to_strings() | changes)})


@pytest.mark.parametrize("changes", [{"dim": float("inf")}, {"mean": f"[{HUGE}]"}])
def test_an_encoder_with_a_number_beyond_its_type_is_refused(
    changes: dict[str, object], tmp_path: Path
) -> None:
    path = written(tmp_path / "net.safetensors", encoder_file(**changes))
    refused(FeatureError, "net.safetensors", lambda: own.read_encoder(path), says="cannot be read")


@pytest.mark.parametrize(
    "changes",
    [{"width": "1e6"}, {"in_channels": "1000000000"}, {"n": "1000000000"}, {"resize": "100000"}],
)
def test_an_encoder_that_claims_more_than_any_network_has_is_refused(
    changes: dict[str, object], tmp_path: Path
) -> None:
    path = written(tmp_path / "net.safetensors", encoder_file(**changes))
    refused(FeatureError, "net.safetensors", lambda: load_encoder(str(path)), says="more than any")


# Videos -------------------------------------------------------------------------------------------


def test_a_video_whose_time_stamps_reach_too_far_is_named_in_the_sentence(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = write_video(tmp_path / "a.mp4", numbered(13))
    requests, answers = io.BytesIO(), io.BytesIO()
    send(requests, asdict(Request(str(path), "25", most=5)))
    requests.seek(0)
    answer_all(requests, answers, _cut)
    answers.seek(0)
    found = receive(answers)
    while found is not None and found[0]["kind"] != "fault":
        found = receive(answers)
    assert found is not None
    assert str(path) in found[0]["problem"]


# Checkpoints --------------------------------------------------------------------------------------


def run_file(tensors: dict[str, Tensor], about: object) -> bytes:
    return save(tensors, {"wtal": about if isinstance(about, str) else json.dumps(about)})


@pytest.mark.parametrize(
    "about",
    [
        "7",
        DEEP,
        {"kind": "wtal.state"},
        {"kind": "wtal.state", "step": "x", "facts": {}},
        {"kind": "wtal.state", "step": 5, "facts": 7},
        {"kind": "wtal.state", "step": -1, "facts": {}},
    ],
)
def test_a_moment_that_does_not_say_when_it_was_is_refused(about: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "state.safetensors", run_file({"model/x": torch.ones(1)}, about))
    refused(WtalError, "state.safetensors", lambda: load_state(path), says="damaged|not written by")


def test_a_moment_with_a_tensor_that_belongs_nowhere_is_refused(tmp_path: Path) -> None:
    about = {"kind": "wtal.state", "step": 1, "facts": {}}
    path = written(tmp_path / "state.safetensors", run_file({"odd/x": torch.ones(1)}, about))
    refused(WtalError, "state.safetensors", lambda: load_state(path), says="belongs nowhere")


def test_weights_without_facts_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / MODEL_FILE, run_file({"x": torch.ones(1)}, {"kind": "wtal.basnet"}))
    refused(WtalError, MODEL_FILE, lambda: load_facts(path, "wtal.basnet"), says="lacks its facts")


@pytest.mark.parametrize("dim", [10**9, int(HUGE), 0, -3, "inf", 1e999])
def test_weights_that_claim_a_larger_network_than_they_hold_are_refused(
    dim: Any, tmp_path: Path
) -> None:
    about = {"kind": "wtal.basnet", "classes": ["run"], "feature_dim": dim, "facts": {}}
    path = written(tmp_path / MODEL_FILE, run_file({"x": torch.ones(8)}, about))
    refused(WtalError, MODEL_FILE, lambda: load_network(path, ModelConfig()), says="does not fit")


@pytest.mark.parametrize(
    ("dim", "classes", "config"),
    [(7, 3, ModelConfig()), (5, 1, ModelConfig(hidden_dim=4, filter_dim=2, second_kernel=3))],
)
def test_weights_of_a_network_are_as_many_as_the_bound_allows(
    dim: int, classes: int, config: ModelConfig, tmp_path: Path
) -> None:
    tensors = BaSNet(dim, classes, config, torch.Generator()).state_dict()
    names = [f"class {c}" for c in range(classes)]
    about = {"kind": "wtal.basnet", "classes": names, "feature_dim": dim, "facts": {}}
    path = written(tmp_path / MODEL_FILE, run_file(tensors, about))
    assert load_network(path, config)[0].feature_dim == dim
    smallest = min(tensors, key=lambda name: tensors[name].numel())
    held = sum(tensor.numel() for tensor in tensors.values())
    del tensors[smallest]
    written(path, run_file(tensors, about))
    says = f"ask for {held} parameters"
    refused(WtalError, MODEL_FILE, lambda: load_network(path, config), says=says)


@pytest.mark.parametrize(
    "about", [DEEP, "7", '{"stage": 1e999, "step": 0}', '{"stage": [], "step": 0}']
)
def test_a_moment_of_pretraining_that_does_not_say_when_it_was_is_refused(
    about: str, tmp_path: Path
) -> None:
    written(tmp_path / STATE, save({"x": torch.ones(1)}, {"wtal.pretraining": about}))
    refused(FeatureError, STATE, lambda: load_pretraining(tmp_path), says="is damaged")

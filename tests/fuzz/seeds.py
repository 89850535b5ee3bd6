"""The seed corpus: sound files of every kind, tiny, made in code; the same bytes every time."""

import io
import json
import pickle
import re
import tempfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.features.test_tf_bundle import Table, some_arrays, write_bundle
from tests.features.videos import numbered, write_video
from tests.fuzz.cases import Files


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


# Text ---------------------------------------------------------------------------------------------

_RUN = {"label": "run", "segment": [0.5, 3]}
_ENTRY = {"subset": "test", "duration": 9.5, "fps": 25.0, "annotations": [_RUN]}
_JUMP = {"label": "long jump", "segment": ["1.0", "2.5"]}
_TEXTS = {"subset": "validation", "annotations": [_JUMP, _RUN]}
_ROW = {"label": "run", "score": 0.75, "segment": [0.5, 3.25]}
_CALIBRATION = {
    "format": "wtal calibration 1",
    "scores": [0.1, 0.5, 0.9],
    "confidences": [0, 0.4, 1.0],
    "threshold": 0.7,
    "model": "ab12",
    "about": {"method": "folds", "videos": 3},
}


def truths() -> list[Files]:
    """ActivityNet's form, with numbers and with texts."""
    database = {"v0": _ENTRY, "v1": _TEXTS, "v2": {**_ENTRY, "annotations": []}}
    full = {"version": "1", "taxonomy": [], "database": database}
    return [{"truth.json": _json(full)}, {"truth.json": _json({"database": {"v0": _ENTRY}})}]


def evalkit() -> list[Files]:
    """THUMOS14's evalkit: a folder of annotations."""
    kit = {
        "detclasslist.txt": b"7 BaseballPitch\n9 BasketballDunk\n",
        "BaseballPitch_test.txt": b"video_test_0000001 0.5 2.5\nvideo_test_0000002.mp4 1.0 4.0\n",
        "BasketballDunk_test.txt": b"video_test_0000002 3.0 9.5\n",
        "Ambiguous_test.txt": b"video_test_0000001 7.0 8.0\n",
    }
    return [kit]


def lines() -> list[Files]:
    """Text with a thing a line: detections, intervals, names."""
    texts = (
        b"video_test_0000001 0.5 2.5 7 0.9\nvideo_test_0000002.mpeg 3 9 9 0.25\nx 1 2 99 .5\n",
        b"video_test_0000001 7.0 8.0\n",
        b"# some\nvideo_test_0000001\n",
    )
    return [{"lines.txt": text} for text in texts]


def detections() -> list[Files]:
    """Result files as JSON and as arrays."""
    results = {"v0": [_ROW, {**_ROW, "score": 0.5}], "v1": []}
    plain = {"version": "1", "results": results, "external_data": {}}
    scored = {**plain, "video_scores": {"v0": {"run": 0.5, "jump": 0.25}}}
    arrays = {"video": ["v0", "v1"], "label": [1, 0], "labels": ["jump", "run"]}
    numbers = {"start": [0.0, 1.0], "end": [2.0, 3.5], "score": [0.5, 0.25]}
    return [
        {"found.json": _json(plain)},
        {"found.json": _json(scored)},
        {"found.npz": _npz(**{k: np.array(v) for k, v in {**arrays, **numbers}.items()})},
    ]


def tags() -> list[Files]:
    return [
        {"tags.csv": b"video,label\nv0,run\nv0,long jump\nv1,\n"},
        {"tags.csv": b'video,labels,subset\nv0,run;jump,train\n"v 1","a",test\n'},
        {"tags.csv": b"video,label,confidence\nv0,'=run,0.75\n'-v1,jump,\n"},
    ]


def corrections() -> list[Files]:
    segments = [
        {"label": "run", "segment": [1.25, 3.5], "verdict": "accepted"},
        {"label": "run", "segment": [5, 6.1], "verdict": "edited", "was": [4.2, 6.0]},
        {"label": "jump", "segment": [9, 9.9], "verdict": "rejected"},
        {"label": "jump", "segment": [12, 13.5], "verdict": "added"},
    ]
    videos = {
        "v0": {"complete": False, "segments": segments},
        "v1": {"complete": True, "segments": []},
    }
    return [{"corrections.json": _json({"format": "wtal corrections 1", "videos": videos})}]


def calibration() -> list[Files]:
    """Of a run folder, and inside a result file."""
    found = {"results": {"v0": [_ROW]}, "external_data": {"calibration": _CALIBRATION}}
    return [{"calibration.json": _json(_CALIBRATION)}, {"found.json": _json(found)}]


def config() -> list[Files]:
    """A page of settings, and all of them."""
    from wtal.config import Config, dump_config

    page = b"# a page\ntrain:\n  steps: 500\n  lr: 1e-4\nmodel: {hidden_dim: auto, dropout: 0.7}\n"
    return [
        {"config.yaml": page + b"localize:\n  nms: soft\ndata:\n  streams: [rgb, flow]\n"},
        {"config.yaml": dump_config(Config()).encode()},
    ]


# Arrays -------------------------------------------------------------------------------------------


def _array(T: int = 3, D: int = 4, dtype: str = "f4") -> np.ndarray[Any, Any]:
    return (np.arange(T * D).reshape(T, D) / 8).astype(dtype)


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _npz(**arrays: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def npy() -> list[Files]:
    kinds = [_array(dtype=dtype) for dtype in ("f2", "f4", ">f4", "f8")]
    return [{"video.npy": _npy(array)} for array in (*kinds, np.asfortranarray(_array(7, 2)))]


def npz() -> list[Files]:
    """Two streams, one array, an archive of videos, a whitening; stored and packed."""
    white = {"U": _array(4, 2), "lams": np.ones(2), "mu": _array(4, 1), "Utmu": _array(2, 1)}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, features=np.zeros((64, 8), "f4"))
    streams, videos = (
        {"rgb": _array(), "flow": _array(dtype="f2")},
        {"v0": _array(), "v1": _array(5)},
    )
    files = [_npz(**streams), _npz(**videos), packed.getvalue(), _npz(**white)]
    return [{"video.npz": content} for content in files]


def hdf5() -> list[Files]:
    """Datasets, groups and chunks, in both forms of the format."""
    import h5py

    seeds = []
    for version in ("earliest", "latest"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "x.h5")
            with h5py.File(path, "w", libver=version) as file:
                file.create_dataset("v0", data=_array())
                group = file.create_group("v1")
                group.create_dataset("rgb", data=_array(), compression="gzip", chunks=(2, 2))
                packed = {"shuffle": True, "fletcher32": True, "chunks": (3, 4)}
                group.create_dataset("flow", data=_array(dtype="f2"), **packed)
                group.attrs["fps"] = 25.0
            seeds.append({"videos.h5": path.read_bytes()})
            with h5py.File(path, "w", libver=version) as file:
                file.create_dataset("features", data=_array(64, 8))
            seeds.append({"videos.h5": path.read_bytes()})
    return seeds


def table() -> list[Files]:
    return [{"video.csv": b"0.5,1.25,-3e-2\n1,2,3\n"}, {"video.csv": b"a,b\n0.5,1.25\n1,2\n"}]


def _objects(*items: object, protocol: int = 4) -> bytes:
    """A .npy of objects; protocol 2 is what Python 2 wrote."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': ({len(items)},), }}\n".encode()
    length = len(header).to_bytes(2, "little")
    return b"\x93NUMPY\x01\x00" + length + header + pickle.dumps(array, protocol)


def wtalc() -> list[Files]:
    """W-TALC's object array of features and its folder of annotations."""
    folder = {
        "videoname": _npy(np.array([b"v0", b"v1"])),
        "labels": _objects(["run"], ["run", "jump"]),
        "segments": _objects([[0.5, 2.0]], [[1, 2], [3, 4.5]]),
        "labels_all": _objects(["run"], ["run", "jump"]),
        "subset": _npy(np.array([b"validation", b"test"])),
        "duration": _npy(np.array([[9.5], [7.25]])),
        "extracted_fps": _npy(np.array([25, 25])),
    }
    features = _objects(_array(), _array(5))
    older = _objects(*map(_array, (2, 6)), protocol=2)
    beside = {f"X-Annotations/{name}.npy": data for name, data in folder.items()}
    unicode = {"X-Annotations/videoname.npy": _npy(np.array(["v0", "v1"]))}
    return [
        {"X-I3D-JOINTFeatures.npy": features, **beside},
        {"X-I3D-JOINTFeatures.npy": features, **beside, **unicode},
        {"X-I3D-JOINTFeatures.npy": older, "X-Annotations/videoname.npy": folder["videoname"]},
    ]


def manifest() -> list[Files]:
    """A store whose arrays lie in it, and one with streams."""
    said = {"encoder": "i3d", "dim": 4, "window": 16, "stride": 16, "fps": 25.0}
    videos = {"v0": {"fps": 29.97, "frames": 50, "duration": 1.7}, "v1": {"fps": 25}}
    arrays = {"v0.npy": _npy(_array()), "v1.npy": _npy(_array(5))}
    streams = {f"{s}/{name}": data for s in ("rgb", "flow") for name, data in arrays.items()}
    return [
        {"manifest.json": _json({**said, "videos": videos}), **arrays},
        {"manifest.json": _json({**said, "dim": 8}), **streams},
    ]


# Checkpoints --------------------------------------------------------------------------------------


def _network() -> dict[str, Any]:
    import torch

    weight = torch.arange(24.0).view(2, 3, 4)
    return {"module.conv.weight": weight, "module.conv.bias": torch.ones(2)}


# torch's older form names numbers after their place in memory, which differs from run to run.
_STORAGE_KEY = re.compile(rb"X[\x0c-\x0f]\0\0\0[0-9]{12,15}(?=q)")


def weights() -> list[Files]:
    """Files of safetensors, and of torch in both of its forms."""
    import torch
    from safetensors.torch import save

    network = _network()
    wrapped: dict[str, Any] = {
        "epoch": 3,
        "best_acc": np.float64(0.5),
        "state_dict": OrderedDict(network),
    }
    other: dict[str, Any] = {"model": network, "optimizer": {"lr": 0.1, "betas": (0.9, 0.999)}}
    seeds: list[Files] = [{"net.safetensors": save(network, {"format": "pt"})}]
    for content in (wrapped, other):
        out = io.BytesIO()
        torch.save(content, out)
        seeds.append({"net.pt": out.getvalue()})
    del network["module.conv.bias"], wrapped["state_dict"]["module.conv.bias"]  # one key to name
    key = b"X\x01\x00\x00\x00k"
    for content in (wrapped, other):
        out = io.BytesIO()
        torch.save(content, out, _use_new_zipfile_serialization=False)
        seeds.append({"net.pkl": _STORAGE_KEY.sub(lambda _: key, out.getvalue())})
    return seeds


def encoder() -> list[Files]:
    """A file of `wtal pretrain`: weights and what they want to see."""
    from safetensors.torch import save

    from tests.features.test_own_checkpoints import ABOUT
    from wtal_features.checkpoints import own

    return [{"net.safetensors": save(_network(), {own._ENTRY: json.dumps(ABOUT.to_strings())})}]


def context() -> list[Files]:
    import torch

    from wtal_features.retrieval.aggregator import TCA
    from wtal_features.retrieval.context import ContextAbout, ContextModel, save_context
    from wtal_features.retrieval.whitening import Whitening

    generator = torch.Generator().manual_seed(0)
    white = Whitening(torch.zeros(6), torch.eye(4, 6), torch.ones(4))
    seeds = []
    for whitening in (None, white):
        network = TCA(4, 2, 8, 1, generator=generator)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "tca.safetensors")
            save_context(path, ContextModel(network, whitening, ContextAbout(heads=2)))
            seeds.append({"tca.safetensors": path.read_bytes()})
    return seeds


def run_folder() -> list[Files]:
    """What `wtal train` leaves: weights, a moment to resume from, the config."""
    import torch

    from wtal.checkpoint import MODEL_FILE, STATE_FILE, State, save_network, save_state
    from wtal.config import Config, dump_config
    from wtal.model import BaSNet

    with tempfile.TemporaryDirectory() as folder:
        network = BaSNet(3, 2, Config().model, torch.Generator().manual_seed(0))
        save_network(Path(folder, MODEL_FILE), network, ("run", "jump"), {"step": 5})
        moments = {"conv1.bias_E/exp_avg": torch.zeros(3), "conv1.bias_E/step": torch.tensor(5.0)}
        bank = {"bank": torch.ones(2, 3)}
        state = State(5, dict(network.state_dict()), moments, {"best": 0.5}, bank)
        save_state(Path(folder, STATE_FILE), state)
        files = {name: Path(folder, name).read_bytes() for name in (MODEL_FILE, STATE_FILE)}
    return [{**files, "config.yaml": dump_config(Config()).encode()}]


def pretraining_folder() -> list[Files]:
    """What `wtal pretrain` leaves beside its file."""
    from wtal_features.methods.folder import CONFIG, METRICS, STATE, Saved, save_state

    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder), Saved(0, 7, _network()))
        state = Path(folder, STATE).read_bytes()
    steps = ({"stage_number": 0, "step": step, "loss": 1.5} for step in (5, 7))
    lines = b"".join(_json(step) + b"\n" for step in steps)
    own = {"method": "cvrl", "config": {"train": {"steps": 9}}, "seed": 0}
    return [{STATE: state, CONFIG: _json(own), METRICS: lines}]


def _contents(folder: str) -> Files:
    """The files of a folder, but for its lock."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def ledger() -> list[Files]:
    """Which stages of `wtal run` are done."""
    from wtal.pipeline.ledger import Ledger

    with tempfile.TemporaryDirectory() as folder:
        stages = Ledger(Path(folder, "run.json"))
        stages.begin("extract", "ab12", videos=3)
        stages.finish("extract", 1.5)
        stages.begin("train", "cd34")
        return [_contents(folder)]


def remembered() -> list[Files]:
    """What `wtal run` found in each video."""
    from wtal.localize import VideoDetections
    from wtal.pipeline.localized import Localized

    times = np.array([0.5, 2.0])
    found = VideoDetections(("run", "jump"), times, times + 1, times / 4, {"run": 0.5})
    with tempfile.TemporaryDirectory() as folder:
        with Localized(Path(folder, "localized.jsonl")) as lines:
            lines.put("v0", "key", found)
            lines.put("v1", "key", found)
        return [_contents(folder)]


def journal() -> list[Files]:
    """A store whose writer was stopped."""
    from wtal_features.writer import StoreWriter

    with tempfile.TemporaryDirectory() as folder:
        with suppress(InterruptedError), StoreWriter(folder, encoder="i3d", stride=16) as writer:
            writer.write("v0", _array(), fps=25.0, frames=50)
            writer.write("v1", _array(5), fps=25.0)
            raise InterruptedError
        return [_contents(folder)]


def tensorflow() -> list[Files]:
    """A checkpoint of TensorFlow 2, its index in one block and in many."""
    seeds = []
    arrays = dict(list(some_arrays().items())[-8:])
    for layout in (Table(), Table(per_block=2)):
        with tempfile.TemporaryDirectory() as folder:
            write_bundle(Path(folder, "ckpt"), arrays, layout)
            seeds.append({path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())})
    return seeds


# Retrieval and videos -----------------------------------------------------------------------------


def retrieval() -> list[Files]:
    """A ranking, and a truth as JSON and as the pickles of the public data sets."""
    ranking = _json({"q0": {"v0": 0.9, "v1": 0.5}, "q1": [["v0", 0.1], ["v1", 0.2]]})
    truth = {"q0": {"ND": ["v0"], "DS": ["v1"]}, "q1": {"ND": ["v1"]}}
    pickled = pickle.dumps({q: {k: set(v) for k, v in own.items()} for q, own in truth.items()}, 2)
    return [
        {"ranking.json": ranking, "truth.json": _json(truth)},
        {"ranking.json": ranking, "truth.pkl": pickled},
    ]


def video() -> list[Files]:
    """Five containers and three codecs, a second each at most."""
    exact = {"fflags": "+bitexact"}  # no random names inside
    fragments = exact | {"movflags": "frag_keyframe+empty_moov"}
    ways = [
        ("a.mp4", "libx264", exact),
        ("a.mkv", "libx264", exact),
        ("a.avi", "mpeg4", exact),
        ("a.mpg", "mpeg2video", exact),
        ("b.mp4", "mpeg4", fragments),
    ]
    seeds = []
    for name, codec, options in ways:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            write_video(path, numbered(13), codec=codec, container_options=options)
            seeds.append({"video" + path.suffix: path.read_bytes()})
    return seeds

"""Every layout of the field, converted; faults are named and the rest goes on."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_features import FeatureError, check_store, convert, open_store, read_tags
from wtal_features.layouts import Limits

SaveArray = Callable[..., Path]


def shared_data() -> Path:
    """The folder of real data, which is no part of the project."""
    default = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("WTAL_SHARED", default)) / "data"


def gt(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({"database": entries}))


ENTRY = {"subset": "train", "annotations": [{"label": "Run", "segment": ["0.5", "1.5"]}]}


# BaS-Net, CoLA -----------------------------------------------------------------------------------


@pytest.fixture
def basnet(tmp_path: Path, save: SaveArray) -> Path:
    root = tmp_path / "THUMOS14"
    for video, subset in {"a": "train", "b": "test"}.items():
        save(root / "features" / subset / "rgb" / f"{video}.npy", (5, 3))
        save(root / "features" / subset / "flow" / f"{video}.npy", (5, 2))
    gt(root / "gt.json", a=ENTRY, b={**ENTRY, "subset": "test", "duration": 3.2})
    (root / "split_train.txt").write_text("a\n")
    return root


@pytest.mark.parametrize("inside", [".", "features"])
def test_basnet_becomes_a_store_with_tags(tmp_path: Path, basnet: Path, inside: str) -> None:
    out = tmp_path / "out"
    report = convert(basnet / inside, out, fps=25, stride=16, encoder="I3D")
    assert (report.kind, report.written, report.skipped) == ("npy", ("a", "b"), ())
    assert "gt.json" in report.notes[0]
    store = open_store(out)
    assert (store.streams, store.dim) == (("rgb", "flow"), 5)
    assert store.manifest.encoder == "I3D"
    assert store.timing("b").duration_s == 3.2
    assert store.timing("b").seconds_per_snippet == 0.64
    np.testing.assert_array_equal(
        store.read("a")[:, :3], np.load(basnet / "features/train/rgb/a.npy")
    )
    tags = read_tags(out / "tags.csv")
    assert tags.labels == {"a": ("Run",), "b": ("Run",)}
    assert tags.subsets == {"a": "train", "b": "test"}
    database = json.loads((out / "annotations.json").read_text())["database"]
    assert database["a"]["annotations"] == [{"label": "Run", "segment": [0.5, 1.5]}]
    fields = json.loads((out / "manifest.json").read_text())
    assert fields["videos"]["b"]["subset"] == "test"


def test_streams_can_be_joined_and_values_converted_when_asked(
    tmp_path: Path, basnet: Path
) -> None:
    convert(basnet, tmp_path / "out", fps=25, stride=16, join=True, dtype="float16")
    store = open_store(tmp_path / "out")
    assert (store.streams, store.dim) == ((), 5)
    expected = np.load(basnet / "features/train/rgb/a.npy").astype(np.float16)
    np.testing.assert_array_equal(store.read("a")[:, :3], expected)
    assert np.load(tmp_path / "out" / "a.npy").dtype == np.float16


@pytest.mark.parametrize("folder", ["train/rgb", "rgb", "train", "."])
def test_one_stream_or_one_subset_is_enough(tmp_path: Path, save: SaveArray, folder: str) -> None:
    save(tmp_path / "in" / folder / "a.npy")
    report = convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    assert report.written == ("a",)
    assert open_store(tmp_path / "out").streams == (("rgb",) if "rgb" in folder else ())


@pytest.mark.parametrize("given", [{}, {"fps": 25}, {"stride": 16}])
def test_fps_and_stride_are_never_guessed(
    tmp_path: Path, basnet: Path, given: dict[str, Any]
) -> None:
    with pytest.raises(FeatureError, match="--fps and --stride"):
        convert(basnet, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_a_faulty_video_is_named_and_the_others_go_on(
    tmp_path: Path, basnet: Path, save: SaveArray
) -> None:
    train = basnet / "features" / "train"
    faulty = {
        "double": save(train / "rgb" / "double.npy", (5, 3), "float64"),
        "lengths": save(train / "rgb" / "lengths.npy", (6, 3)),
        "wide": save(train / "rgb" / "wide.npy", (5, 4)),
        "cut": save(train / "rgb" / "cut.npy", (5, 3)),
        "objects": save(train / "rgb" / "objects.npy", np.array([None])),
    }
    faulty["cut"].write_bytes(faulty["cut"].read_bytes()[:-1])
    for video in faulty:
        save(train / "flow" / f"{video}.npy", (5, 2))
    save(train / "rgb" / "alone.npy", (5, 3))
    save(basnet / "features" / "test" / "rgb" / "twice.npy", (5, 3))
    save(train / "rgb" / "twice.npy", (5, 3))
    save(train / "rgb" / "bad:name.npy", (5, 3))
    report = convert(basnet, tmp_path / "out", fps=25, stride=16)
    assert report.written == ("a", "b")
    assert {(finding.code, finding.where) for finding in report.skipped} == {
        ("dtype", "double"),
        ("stream-lengths", "lengths"),
        ("dim", "wide"),
        ("truncated", "cut"),
        ("object-dtype", "objects"),
        ("no-partner", "alone"),
        ("twice", "twice"),
        ("name", "bad:name"),
    }
    assert check_store(open_store(tmp_path / "out"), values=True) == []


def test_transposed_arrays_are_refused_together_and_nothing_is_written(
    tmp_path: Path, save: SaveArray
) -> None:
    lengths = [20, 30, 20, 40, 50, 30]  # some videos are of one length, so each D comes again
    for i, T in enumerate(lengths):
        save(tmp_path / "in" / f"v{i}.npy", (16, T))
    begin = r"\(16, 20\): all begin with 16; expected \(T, 16\)\. They look transposed"
    with pytest.raises(FeatureError, match=begin) as told:
        convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    assert told.value.code == "transposed"
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name[0] != "."]
    with pytest.raises(FeatureError, match="They look transposed"):
        open_store(tmp_path / "in", fps=25, stride=16)
    for i in range(len(lengths)):
        save(tmp_path / "in" / f"v{i}.npy", (16, 4 if i else 5))  # videos cut to one length
    report = convert(tmp_path / "in", tmp_path / "cut", fps=25, stride=16)
    assert len(report.written) + len(report.skipped) == len(lengths)


def test_a_value_that_float16_cannot_hold_is_refused(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "in" / "a.npy", np.full((2, 3), 1e5, dtype=np.float32))
    with pytest.raises(FeatureError, match=r"values up to 100000; float16 ends before.*float32"):
        convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16, dtype="float16")


def test_a_stopped_conversion_goes_on_where_it_stopped(tmp_path: Path, basnet: Path) -> None:
    out = tmp_path / "out"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(basnet, out, fps=25, stride=16, progress=stop)
    written = (out / "rgb" / "a.npy").stat().st_mtime_ns
    report = convert(basnet, out, fps=25, stride=16)
    assert (report.resumed, report.written) == (("a",), ("b",))
    assert (out / "rgb" / "a.npy").stat().st_mtime_ns == written
    assert convert(basnet, out, fps=25, stride=16).resumed == ("a", "b")


def test_another_conversion_does_not_overwrite_a_store(tmp_path: Path, basnet: Path) -> None:
    out = tmp_path / "out"
    convert(basnet, out, fps=25, stride=16)
    for other in ({"fps": 30.0}, {"dtype": "float16"}, {"join": True}):
        settings: dict[str, Any] = {"fps": 25, "stride": 16, **other}
        with pytest.raises(FeatureError, match="was written with"):
            convert(basnet, out, **settings)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(FeatureError, match="not empty"):
        convert(basnet, tmp_path / "mine", fps=25, stride=16)
    with pytest.raises(FeatureError, match="which is being read"):
        convert(basnet, basnet / "out", fps=25, stride=16)


def test_a_store_keeps_its_time_base_when_it_is_converted(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "in" / "a.npy", (5, 3))
    head = {"encoder": "toy", "stride": 8, "window": 16, "videos": {"a": {"fps": 30, "frames": 48}}}
    (tmp_path / "in" / "manifest.json").write_text(json.dumps(head))
    convert(tmp_path / "in", tmp_path / "out", dtype="float16")
    before, after = open_store(tmp_path / "in"), open_store(tmp_path / "out")
    assert before.timing("a") == after.timing("a")
    assert after.manifest.encoder == "toy"
    with pytest.raises(FeatureError, match="says stride 8, but stride 16"):
        convert(tmp_path / "in", tmp_path / "other", stride=16)


def test_a_wrong_fps_is_noticed_from_the_durations(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "in" / "a.npy", (250, 3))
    gt(tmp_path / "in" / "gt.json", a={**ENTRY, "duration": 160.0})
    report = convert(tmp_path / "in", tmp_path / "right", fps=25, stride=16)
    assert not [note for note in report.notes if "duration" in note]
    report = convert(tmp_path / "in", tmp_path / "wrong", fps=30, stride=16)
    assert [note for note in report.notes if "1 video does not fit the duration" in note]


def test_a_faulty_annotation_is_named_and_the_others_go_on(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "in" / "a.npy")
    faulty = {
        "segment": {"annotations": [{"label": "Run", "segment": [1]}]},
        "number": {"annotations": [{"label": "Run", "segment": ["x", 2]}]},
        "label": {"annotations": [{"label": "\x00", "segment": [1, 2]}]},
        "list": {"annotations": {}},
        "duration": {**ENTRY, "duration": -1},
        "../up": ENTRY,
    }
    gt(tmp_path / "gt.json", a=ENTRY, hidden={"subset": "test", "annotations": []}, **faulty)
    report = convert(
        tmp_path / "in", tmp_path / "out", fps=25, stride=16, annotations=tmp_path / "gt.json"
    )
    assert {finding.where for finding in report.skipped} == set(faulty)
    assert read_tags(tmp_path / "out" / "tags.csv").videos == ("a",)
    assert [note for note in report.notes if note.startswith("1 videos have no annotations")]


def test_sources_that_are_nothing_are_refused(tmp_path: Path, save: SaveArray) -> None:
    with pytest.raises(FeatureError, match="does not exist"):
        convert(tmp_path / "missing", tmp_path / "out", fps=25, stride=16)
    (tmp_path / "in").mkdir()
    with pytest.raises(FeatureError, match="holds no features"):
        convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    save(tmp_path / "in" / "a.npy")
    (tmp_path / "in" / "a.csv").touch()
    with pytest.raises(FeatureError, match="files of npy and csv"):
        convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    with pytest.raises(FeatureError, match=r"kind 'mat' is not known; expected one of npy,"):
        convert(tmp_path / "in", tmp_path / "out", kind="mat", fps=25, stride=16)
    assert convert(tmp_path / "in", tmp_path / "out", kind="npy", fps=25, stride=16).written


# W-TALC ------------------------------------------------------------------------------------------


def as_objects(items: list[Any]) -> np.ndarray[Any, np.dtype[np.object_]]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def features(T: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.random.default_rng(T).random((T, 4)).astype(dtype)


@pytest.fixture
def wtalc(tmp_path: Path) -> Path:
    root = tmp_path / "wtalc"
    folder = root / "Toy-Annotations"
    folder.mkdir(parents=True)
    columns = {
        "videoname": np.array([b"v1", b"v2", b"v3"]),
        "labels": as_objects([["Run", "Run"], ["Jump"], []]),
        "labels_all": as_objects([["Run"], ["Jump", "Run"], []]),
        "segments": as_objects([[[0.5, 1.0], [2, 3]], [[1.0, 2.5]], []]),
        "subset": np.array([b"validation", b"validation", b"test"]),
        "duration": np.array([[3.2], [6.4], [1.0]]),
        "original_fps": np.array([30.0, 25.0, 25.0]),
        "extracted_fps": np.array([10, 10, 10]),
        "classlist": np.array([b"Run", b"Jump"]),
    }
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column, allow_pickle=True)
    arrays = as_objects([features(5), features(10), features(1)])
    np.save(root / "Toy-I3D-JOINTFeatures.npy", arrays, allow_pickle=True)
    return root


@pytest.mark.parametrize("name", [".", "Toy-I3D-JOINTFeatures.npy"])
def test_wtalc_becomes_a_store_with_annotations_and_tags(
    tmp_path: Path, wtalc: Path, name: str
) -> None:
    out = tmp_path / "out"
    report = convert(wtalc / name, out, fps=25, stride=16)
    assert (report.kind, report.written, report.skipped) == ("wtalc", ("v1", "v2", "v3"), ())
    store = open_store(out)
    np.testing.assert_array_equal(store.read("v2"), features(10))
    assert store.timing("v1").duration_s == 3.2
    assert check_store(store, values=True) == []
    database = json.loads((out / "annotations.json").read_text())["database"]
    assert database["v1"] == {
        "subset": "validation",
        "duration": 3.2,
        "fps": 30.0,
        "annotations": [
            {"label": "Run", "segment": [0.5, 1.0]},
            {"label": "Run", "segment": [2, 3]},
        ],
    }
    tags = read_tags(out / "tags.csv")
    assert tags.labels == {"v1": ("Run",), "v2": ("Jump", "Run")}
    assert tags.subsets == {"v1": "validation", "v2": "validation"}
    notes = " ".join(report.notes)
    assert "extracted_fps.npy says 10. It was not used" in notes
    assert "tags of 1 videos differ" in notes
    assert {path.name for path in out.iterdir()} == {
        *(".lock", "annotations.json", "manifest.json", "tags.csv"),
        *("v1.npy", "v2.npy", "v3.npy"),
    }
    assert convert(wtalc / name, out, fps=25, stride=16).resumed == ("v1", "v2", "v3")


def test_faulty_elements_of_a_wtalc_array_are_named(tmp_path: Path, wtalc: Path) -> None:
    arrays = as_objects([features(5, "float64"), [1, 2], features(1)])
    np.save(wtalc / "Toy-I3D-JOINTFeatures.npy", arrays, allow_pickle=True)
    report = convert(wtalc, tmp_path / "out", fps=25, stride=16)
    assert report.written == ("v3",)
    first, second = report.skipped
    assert (first.where, first.code) == ("v1", "dtype")
    assert "JOINTFeatures.npy[1] is list; expected an array" in second.message
    report = convert(wtalc, tmp_path / "cast", fps=25, stride=16, dtype="float32")
    assert report.written == ("v1", "v3")


def test_a_hostile_wtalc_file_is_refused_and_leaves_nothing(tmp_path: Path, wtalc: Path) -> None:
    marker = tmp_path / "marker"

    class Touch:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    hostile = as_objects([features(5), Touch(), features(1)])
    np.save(wtalc / "Toy-I3D-JOINTFeatures.npy", hostile, allow_pickle=True)
    out = tmp_path / "out"
    with pytest.raises(FeatureError, match=r"was refused: it asks for 'posix\.system'"):
        convert(wtalc, out, fps=25, stride=16)
    assert not marker.exists()
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_wtalc_files_that_do_not_belong_together_are_refused(tmp_path: Path, wtalc: Path) -> None:
    path = wtalc / "Toy-I3D-JOINTFeatures.npy"
    np.save(path, as_objects([features(5), features(2)]), allow_pickle=True)
    with pytest.raises(FeatureError, match=r"holds 2 videos; .*names 3"):
        convert(wtalc, tmp_path / "out", fps=25, stride=16)
    np.save(wtalc / "Toy-Annotations" / "segments.npy", as_objects([[]]), allow_pickle=True)
    with pytest.raises(FeatureError, match=r"segments\.npy has 1 entries; videoname\.npy has 3"):
        convert(wtalc / "Toy-Annotations", tmp_path / "out")
    (wtalc / "Toy-Annotations").rename(tmp_path / "elsewhere")
    with pytest.raises(FeatureError, match=r"0 annotation folders.*--annotations"):
        convert(path, tmp_path / "out", fps=25, stride=16)


def test_annotations_alone_are_converted_and_never_overwritten(tmp_path: Path, wtalc: Path) -> None:
    source, out = wtalc / "Toy-Annotations", tmp_path / "out"
    report = convert(source, out)
    assert (report.kind, report.skipped) == ("wtalc-annotations", ())
    assert report.written == ("v1", "v2", "v3")
    assert sorted(path.name for path in out.iterdir()) == ["annotations.json", "tags.csv"]
    convert(source, out)
    (out / "tags.csv").write_text("mine")
    with pytest.raises(FeatureError, match=r"tags\.csv exists with another content"):
        convert(source, out)
    with pytest.raises(FeatureError, match="no features: fps would do nothing"):
        convert(source, tmp_path / "other", fps=25)
    with pytest.raises(FeatureError, match="no features: annotations, join would do nothing"):
        convert(source, tmp_path / "other", annotations=source, join=True)


def test_the_public_wtalc_annotations_equal_the_published_json(tmp_path: Path) -> None:
    folder = shared_data() / "annotations"
    if not folder.is_dir():
        pytest.skip("The folder with real annotations is not here; set WTAL_SHARED to its parent.")
    report = convert(folder / "wtalc_thumos14reduced", tmp_path)
    assert report.skipped == ()
    ours = json.loads((tmp_path / "annotations.json").read_text())["database"]
    theirs = json.loads((folder / "thumos14_212.json").read_text())["database"]
    assert len(ours) == 412
    assert ours.keys() == theirs.keys()

    def segments(entry: dict[str, Any]) -> list[tuple[str, float, float]]:
        return sorted((item["label"], *item["segment"]) for item in entry["annotations"])

    for video, entry in theirs.items():
        assert segments(ours[video]) == segments(entry), video
        assert ours[video]["duration"] == pytest.approx(entry["duration"])
        assert ours[video]["subset"] == entry["subset"]
    tags = read_tags(tmp_path / "tags.csv")
    assert (len(tags.videos), len(tags.classes)) == (412, 20)


# NPZ, HDF5, CSV ----------------------------------------------------------------------------------


def test_an_npz_with_one_array_per_video(tmp_path: Path) -> None:
    arrays = {"a": features(5), "b": features(3, "float64"), "c": np.array([1.0])}
    np.savez_compressed(tmp_path / "all.npz", **arrays)  # type: ignore[arg-type]
    report = convert(tmp_path / "all.npz", tmp_path / "out", fps=25, stride=16)
    assert (report.kind, report.written) == ("npz", ("a",))
    assert {finding.where for finding in report.skipped} == {"b", "c"}
    np.testing.assert_array_equal(open_store(tmp_path / "out").read("a"), features(5))


def test_one_npz_per_video(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", feats=features(5), extra=np.array([25.0]))
    np.savez(tmp_path / "in" / "b.npz", features(3))
    np.savez(tmp_path / "in" / "c.npz", x=features(3), y=features(3))
    report = convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    assert report.written == ("a", "b")
    (finding,) = report.skipped
    assert "c.npz holds 2 arrays (x, y); expected one" in finding.message


def test_an_npz_with_streams_inside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", flow=features(5), rgb=features(5))
    convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    assert open_store(tmp_path / "out").streams == ("rgb", "flow")


def test_archives_that_lie_about_their_size_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (134217728, 2048), }\n"
    claim = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(source / "claim.npz", "w") as archive:
        archive.writestr("x.npy", claim)
    with zipfile.ZipFile(source / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * (1 << 27))
    (source / "text.npz").write_text("no archive")
    np.savez(source / "objects.npz", x=as_objects([1]))
    np.savez(source / "large.npz", x=np.ones((1000, 4), dtype=np.float32))
    np.savez(source / "good.npz", x=features(3))
    report = convert(
        source, tmp_path / "out", fps=25, stride=16, limits=Limits(max_array_bytes=10_000)
    )
    assert report.written == ("good",)
    assert {finding.where: finding.code for finding in report.skipped} == {
        "claim": "truncated",
        "bomb": "too-large",
        "text": "not-npz",
        "objects": "object-dtype",
        "large": "too-large",
    }


def test_hdf5_with_datasets_and_groups(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 needs h5py")
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["a"] = features(5)
        file["b/features"] = features(3)
        file["c"] = features(3, "float64")
        file["d/x"], file["d/y"] = features(2), features(2)
        file["link"] = h5py.ExternalLink("/etc/passwd", "/")
        file.create_dataset("huge", shape=(1 << 30, 1 << 10), dtype="f4", chunks=(1, 1024))
    report = convert(tmp_path / "all.h5", tmp_path / "out", fps=25, stride=16)
    assert (report.kind, report.written) == ("hdf5", ("a", "b"))
    assert {finding.where: finding.code for finding in report.skipped} == {
        "c": "dtype",
        "d": "layout",
        "link": "link",
        "huge": "too-large",
    }
    np.testing.assert_array_equal(open_store(tmp_path / "out").read("b"), features(3))


def test_one_hdf5_file_per_video_with_streams(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 needs h5py")
    (tmp_path / "in" / "train").mkdir(parents=True)
    with h5py.File(tmp_path / "in" / "train" / "a.hdf5", "w") as file:
        file["rgb"], file["flow"] = features(5), features(5)
    (tmp_path / "in" / "train" / "b.hdf5").write_text("no HDF5")
    report = convert(tmp_path / "in", tmp_path / "out", fps=25, stride=16)
    assert report.written == ("a",)
    assert [(f.where, f.code) for f in report.skipped] == [("b", "damaged")]
    assert open_store(tmp_path / "out").streams == ("rgb", "flow")


def test_csv_with_one_row_per_snippet(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "plain.csv").write_text("0.5,1\n2,-3e1\n")
    (source / "header.csv").write_text("\ufeffrgb-0,rgb-1\r\n0.5,1\r\n")
    (source / "ragged.csv").write_text("1,2\n3\n")
    (source / "text.csv").write_text("1,2\n3,x\n")
    (source / "nan.csv").write_text("1,nan\n")
    (source / "empty.csv").write_text("")
    (source / "tags.csv").write_text("video,label\n")
    report = convert(source, tmp_path / "out", fps=25, stride=16)
    assert (report.kind, report.written) == ("csv", ("header", "plain"))
    np.testing.assert_array_equal(
        open_store(tmp_path / "out").read("plain"), np.array([[0.5, 1], [2, -30]], dtype=np.float32)
    )
    assert {finding.where: finding.code for finding in report.skipped} == {
        "ragged": "csv",
        "text": "csv",
        "nan": "nan",
        "empty": "no-snippets",
    }

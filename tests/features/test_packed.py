"""A packed store reads as the folder it was made of, and says so where it cannot."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.features.crashing import contents, ends_at
from wtal_features import FeatureError, FeatureStore, StoreWriter, check_store, open_store
from wtal_features.packed.layout import (
    ALIGNMENT,
    INDEX,
    PARTS,
    RECORD_BYTES,
    RECORDS,
    TEXTS,
    Record,
    aligned,
)
from wtal_features.packed.packing import pack
from wtal_features.quality import Quality

NAMES = ("-dash", "Z", "a", "a b", "b", "zz", "ä", "日本", "𝄞")  # 𝄞 is two units of UTF-16
SMALL = 600  # bytes of a shard: a few videos


def write_store(
    root: Path,
    names: tuple[str, ...] = NAMES,
    *,
    streams: tuple[str, ...] = ("rgb", "flow"),
    dtype: str = "float16",
    encoder: str = "toy",
) -> FeatureStore:
    generator = np.random.default_rng(7)
    with StoreWriter(root, encoder=encoder, stride=16, window=20, streams=streams) as writer:
        for n, name in enumerate(names):
            T = 1 + 3 * n
            arrays = {s: generator.random((T, 3 + 2 * (s == "flow"))) for s in streams or ("",)}
            features = {s: array.astype(dtype) for s, array in arrays.items()}
            writer.write(name, features, fps=25.0 + n, frames=16 * T, subset="test")
    return open_store(root)


def packed_of(store: FeatureStore, out: Path, shard_bytes: int = SMALL) -> FeatureStore:
    pack([store], out, shard_bytes=shard_bytes)
    return open_store(out)


@pytest.fixture
def folder(tmp_path: Path) -> FeatureStore:
    return write_store(tmp_path / "store")


@pytest.fixture
def packed(folder: FeatureStore, tmp_path: Path) -> FeatureStore:
    return packed_of(folder, tmp_path / "packed")


def assert_same(one: FeatureStore, other: FeatureStore) -> None:
    assert tuple(one.videos) == tuple(other.videos)
    assert (one.dim, one.streams, dict(one.dims)) == (other.dim, other.streams, dict(other.dims))
    for video in one.videos:
        np.testing.assert_array_equal(one.read(video), other.read(video))
        assert one.read(video).dtype == other.read(video).dtype == np.float32
        assert one.length(video) == other.length(video)
        assert one.timing(video) == other.timing(video)
        assert one.manifest.videos.get(video) == other.manifest.videos.get(video)


def test_a_packed_store_gives_the_names_features_and_times_of_the_folder(
    folder: FeatureStore, packed: FeatureStore
) -> None:
    assert_same(packed, folder)
    assert len(packed) == len(NAMES)
    assert packed.manifest.encoder == "toy"
    assert len(list(packed.root.glob("shard-*.bin"))) > 2


@pytest.mark.parametrize("streams", [("flow",), ("flow", "rgb"), ("rgb",)])
def test_streams_are_chosen_and_ordered_as_in_a_folder(
    streams: tuple[str, ...], folder: FeatureStore, packed: FeatureStore
) -> None:
    assert_same(open_store(packed.root, streams=streams), open_store(folder.root, streams=streams))


def test_a_stream_that_is_not_there_is_named(packed: FeatureStore) -> None:
    with pytest.raises(FeatureError, match=r"has no stream 'depth'; it has rgb, flow"):
        open_store(packed.root, streams=["depth"])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_keep_their_dtype_on_disk(dtype: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", streams=(), dtype=dtype)
    packed = packed_of(store, tmp_path / "packed")
    assert_same(packed, store)
    assert packed.read_stored("a").dtype == store.read_stored("a").dtype == dtype


def test_a_store_without_a_manifest_is_packed_with_the_time_base_it_was_given(
    tmp_path: Path, save: Callable[..., Path]
) -> None:
    save(tmp_path / "store" / "a.npy")
    packed = packed_of(open_store(tmp_path / "store", fps=30, stride=8), tmp_path / "packed")
    assert packed.timing("a").seconds_per_snippet == 8 / 30


def test_what_watches_a_store_sees_the_same(folder: FeatureStore, packed: FeatureStore) -> None:
    watchers = [Quality(store) for store in (folder, packed)]
    found = [
        check_store(store, watch=[watcher])
        for store, watcher in zip((folder, packed), watchers, strict=True)
    ]
    assert found == [[], []]
    assert watchers[0].lines() == watchers[1].lines() != []


def test_names_are_found_sliced_and_missed(packed: FeatureStore) -> None:
    assert packed.videos[0] == "-dash"
    assert packed.videos[-1] == "𝄞"
    assert packed.videos[1:3] == ("Z", "a")
    assert [video in packed for video in ("a", "zz", "", "aa", "\ud800", "𝄞𝄞")] == [
        *(True, True),
        *(False, False, False, False),
    ]
    assert 7 not in packed
    with pytest.raises(IndexError):
        packed.videos[len(NAMES)]
    with pytest.raises(FeatureError, match="has no features of the video 'aa'; it holds 9 videos"):
        packed.read("aa")


def test_one_video_is_a_store(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", ("only",))
    assert_same(packed_of(store, tmp_path / "packed"), store)


def test_a_video_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", ("a", "b", "c"), dtype="float32")
    assert_same(packed_of(store, tmp_path / "packed", 1), store)
    assert len(list((tmp_path / "packed").glob("shard-*.bin"))) == 3


def test_rows_begin_at_multiples_of_64(packed: FeatureStore) -> None:
    records = np.fromfile(packed.root / INDEX, RECORDS)
    assert RECORDS.itemsize == RECORD_BYTES == 36
    assert (records["at"] % ALIGNMENT == 0).all()
    assert (records["shard"][1:] >= records["shard"][:-1]).all()
    assert Record.unpack((packed.root / INDEX).read_bytes(), 3) == tuple(records[3].item())


def test_packing_again_changes_nothing(folder: FeatureStore, packed: FeatureStore) -> None:
    before = contents(packed.root)
    report = pack([folder], packed.root, shard_bytes=SMALL)
    assert contents(packed.root) == before
    assert (report.videos, report.written) == (len(NAMES), 0)


def test_packed_stores_and_folders_are_joined_by_name(tmp_path: Path) -> None:
    whole = write_store(tmp_path / "whole", streams=())
    parts = []
    for number in range(3):
        part = tmp_path / f"part-{number}"
        with StoreWriter(part, encoder="toy", stride=16, window=20) as writer:
            for video in whole.videos[number::3]:
                entry = dict(whole.manifest.videos[video])  # type: ignore[call-overload]
                writer.write(video, whole.read_stored(video), **entry)
        parts.append(open_store(part))
    first = packed_of(parts[0], tmp_path / "first")
    pack([first, *parts[1:]], tmp_path / "packed", shard_bytes=SMALL)
    assert_same(open_store(tmp_path / "packed"), whole)
    pack([whole], tmp_path / "straight", shard_bytes=SMALL)
    assert contents(tmp_path / "straight") == contents(tmp_path / "packed")


def test_stores_with_one_video_in_common_are_refused(tmp_path: Path) -> None:
    stores = [write_store(tmp_path / "1", ("a", "b")), write_store(tmp_path / "2", ("b", "c"))]
    with pytest.raises(FeatureError, match=r"1 and .*2 both have the video 'b'"):
        pack(stores, tmp_path / "packed")


def test_stores_of_two_encoders_are_refused(tmp_path: Path) -> None:
    stores = [
        write_store(tmp_path / "1", ("a",)),
        write_store(tmp_path / "2", ("b",), encoder="other"),
    ]
    with pytest.raises(FeatureError, match=r"has encoder 'toy', .*2 has 'other'"):
        pack(stores, tmp_path / "packed")


def test_a_damaged_video_is_left_out_and_named(folder: FeatureStore, tmp_path: Path) -> None:
    path = folder.root / "rgb" / "b.npy"
    path.write_bytes(path.read_bytes()[:-1])
    array = np.load(folder.root / "flow" / "a.npy")
    array[2, 1] = np.nan
    np.save(folder.root / "flow" / "a.npy", array)
    report = pack([folder], tmp_path / "packed", shard_bytes=SMALL)
    assert "truncated" in report.skipped["b"]
    assert "NaN" in report.skipped["a"]
    packed = open_store(tmp_path / "packed")
    assert set(packed.videos) == set(NAMES) - {"a", "b"}
    for video in packed.videos:
        np.testing.assert_array_equal(packed.read(video), folder.read(video))
    assert json.loads((tmp_path / "packed" / "skipped.json").read_text()) == report.skipped
    assert pack([folder], tmp_path / "packed", shard_bytes=SMALL).skipped == report.skipped


def test_a_store_of_damaged_videos_alone_makes_none(folder: FeatureStore, tmp_path: Path) -> None:
    for path in (folder.root / "rgb").glob("*.npy"):
        path.write_bytes(b"")
    with pytest.raises(FeatureError, match=r"None of 9 videos can be packed. The first, '-dash'"):
        pack([folder], tmp_path / "packed")


def test_other_videos_and_another_shard_size_are_refused(
    folder: FeatureStore, packed: FeatureStore
) -> None:
    with pytest.raises(FeatureError, match="was packed from other videos, or into shards"):
        pack([folder], packed.root, shard_bytes=SMALL + 1)
    (folder.root / "rgb" / "a.npy").unlink()
    with pytest.raises(FeatureError, match="was packed from other videos"):
        pack([open_store(folder.root)], packed.root, shard_bytes=SMALL)


def test_a_folder_that_holds_something_else_is_refused(
    folder: FeatureStore, tmp_path: Path
) -> None:
    with pytest.raises(FeatureError, match="packed into itself"):
        pack([folder], folder.root)
    other = write_store(tmp_path / "other", ("x",), streams=())
    with pytest.raises(FeatureError, match=r"no packed store: it holds .*x\.npy"):
        pack([folder], other.root)


def test_packing_a_finished_store_again_finds_a_flipped_bit(
    folder: FeatureStore, packed: FeatureStore
) -> None:
    flip(packed.root / "shard-000001.bin", 0)
    with pytest.raises(FeatureError, match=r"shard-000001\.bin is not what was packed"):
        pack([folder], packed.root, shard_bytes=SMALL)


# Killed at any moment.


def killed_at(step: int, store: FeatureStore, out: Path) -> bool:
    """Pack in a process that dies before its step-th change on disk; whether it got there."""
    return ends_at(step, lambda: pack([store], out, shard_bytes=SMALL))


def test_a_run_killed_at_any_moment_ends_in_the_same_bytes(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", ("a", "b", "c", "d", "e"))
    packed = packed_of(store, tmp_path / "packed")
    expected, step, out = contents(packed.root), 1, tmp_path / "out"
    while killed_at(step, store, out):
        if not (out / "manifest.json").exists():
            with pytest.raises(FeatureError, match=r"not finished|no arrays|does not exist"):
                open_store(out)
        done = {path.stem for path in (out / PARTS).glob("*.json")}
        report = pack([store], out, shard_bytes=SMALL)
        assert contents(out) == expected, f"step {step}"
        assert report.written <= report.shards - len(done)
        shutil.rmtree(out)
        step += 1
    assert step > 40


def test_a_source_that_changed_after_a_kill_is_packed_as_it_is_now(
    folder: FeatureStore, tmp_path: Path
) -> None:
    out = tmp_path / "packed"
    assert killed_at(30, folder, out)
    array = np.load(folder.root / "rgb" / "Z.npy")
    np.save(folder.root / "rgb" / "Z.npy", array + 1)
    pack([folder], out, shard_bytes=SMALL)
    assert_same(open_store(out), folder)


def test_a_shard_that_was_damaged_after_a_kill_is_written_again(
    folder: FeatureStore, packed: FeatureStore, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    assert killed_at(30, folder, out)
    assert (out / PARTS / "000000.json").exists()
    flip(out / "shard-000000.bin", 5)
    (out / "shard-000009.bin").write_bytes(b"of another plan")
    pack([folder], out, shard_bytes=SMALL)
    assert contents(out) == contents(packed.root)


# Files that lie.


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_in_a_shard_is_named_by_its_video(packed: FeatureStore) -> None:
    flip(packed.root / "shard-000000.bin", 0)
    store = open_store(packed.root)
    with pytest.raises(FeatureError, match=r"shard-000000\.bin: the features of '-dash' are not"):
        store.read("-dash")
    assert store.read("Z").any()
    found = check_store(store, values=True)
    assert [(finding.where, finding.code) for finding in found] == [("-dash", "checksum")]


@pytest.mark.parametrize("name", ["shard-000000.bin", INDEX, TEXTS])
def test_a_file_that_is_cut_short_or_missing_is_named(name: str, packed: FeatureStore) -> None:
    path = packed.root / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FeatureError, match=f"{name} has .* bytes; .* manifest says"):
        open_store(packed.root).read("-dash")
    path.unlink()
    if name != INDEX:  # without an index it is no packed store
        with pytest.raises(FeatureError, match=f"{name} does not exist"):
            open_store(packed.root).read("-dash")


LIES = {
    "at": (128, "its rows begin at byte"),
    "rows": (1 << 31, "its rows end beyond"),
    "shard": (9999, "shard 9999 of"),
    "text": (3, "its name is"),
    "entry_bytes": (1 << 31, "its name is"),
    "itemsize": (8, "of 8 bytes a value"),
    "name_bytes": (60000, "its name is"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_index_that_lies_is_refused_in_one_sentence(name: str, packed: FeatureStore) -> None:
    value, message = LIES[name]
    records = np.fromfile(packed.root / INDEX, RECORDS)
    records[name][1] = value
    records.tofile(packed.root / INDEX)
    store = open_store(packed.root)
    with pytest.raises(FeatureError, match=f"is damaged: .*record 1 .*{message}"):
        check_all(store)
    assert any(message in str(finding) for finding in store.faults())


def check_all(store: FeatureStore) -> None:
    for video in store.videos:
        store.read(video)
        store.timing(video)


def test_overlapping_rows_are_refused(packed: FeatureStore) -> None:
    records = np.fromfile(packed.root / INDEX, RECORDS)
    second = int(np.flatnonzero(records["shard"] == records["shard"][0])[1])
    records["at"][second] = 0
    records.tofile(packed.root / INDEX)
    with pytest.raises(FeatureError, match=r"begin at byte 0; expected \d+\. Pack the store again"):
        open_store(packed.root).read("Z")


@pytest.mark.parametrize("evil", ["../x", "/abs", "con", "a\0b", "..", "x/y"])
def test_a_name_that_is_no_id_is_refused(evil: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", ("q" * len(evil),))
    packed = packed_of(store, tmp_path / "packed")
    texts = packed.root / TEXTS
    texts.write_bytes(evil.encode() + texts.read_bytes()[len(evil) :])
    with pytest.raises(FeatureError, match="expected a plain file name"):
        list(open_store(packed.root).videos)


def test_names_out_of_order_are_found(packed: FeatureStore) -> None:
    texts = packed.root / TEXTS
    texts.write_bytes(texts.read_bytes().replace(b"Z{", b"~{"))
    found = [str(finding) for finding in open_store(packed.root).faults()]
    assert any("'a' is not behind the name before it" in text for text in found)


@pytest.mark.parametrize("entry", [b"[" * 7, b"\xff" * 7, b"[1,2,3]"])
def test_an_entry_that_is_no_object_is_named(entry: bytes, tmp_path: Path) -> None:
    packed = packed_of(write_store(tmp_path / "store", ("a",)), tmp_path / "packed")
    data = (packed.root / TEXTS).read_bytes()
    (packed.root / TEXTS).write_bytes(b"a" + entry.ljust(len(data) - 1))
    with pytest.raises(FeatureError, match="entry of 'a' is no JSON object"):
        open_store(packed.root).timing("a")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("packed", 1), ("packed", {}), ("dims", None), ("dims", [3, -5]), ("dims", [3])),
        *(("streams", "rgb"), ("streams", [1, 2])),
        *(("index", {"bytes": -36}), ("index", None), ("shards", 4), ("shards", [{"bytes": "1"}])),
        ("format", 2),
    ],
)
def test_a_manifest_of_another_form_is_refused(
    key: str, value: object, packed: FeatureStore
) -> None:
    path = packed.root / "manifest.json"
    head = json.loads(path.read_text())
    (head if key in head else head["packed"])[key] = value
    path.write_text(json.dumps(head))
    with pytest.raises(FeatureError, match=r"is damaged: its manifest|is packed in form 2"):
        open_store(packed.root)


def test_a_folder_that_is_being_packed_is_no_store(packed: FeatureStore) -> None:
    (packed.root / "manifest.json").unlink()
    with pytest.raises(FeatureError, match="is not finished: it holds shards without a manifest"):
        open_store(packed.root, fps=25, stride=16)


def test_alignment_of_nothing_is_nothing() -> None:
    assert [aligned(n) for n in (0, 1, 63, 64, 65)] == [0, 64, 64, 64, 128]


# What it costs.


def test_opening_and_searching_a_million_videos_takes_no_memory_of_their_own(
    tmp_path: Path,
) -> None:
    pack([write_store(tmp_path / "store", ("v",), streams=())], tmp_path / "packed")
    grow(tmp_path / "packed", 1_000_000)
    code = (
        "import resource, sys, time; from wtal_features import open_store\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "import wtal_features.packed.reader\n"
        "before, began = peak(), time.process_time()\n"
        "store = open_store(sys.argv[1])\n"
        "for n in range(0, 1_000_000, 9973): assert store.length(f'v{n:07}') == 1\n"
        "assert 'w' not in store and len(store) == 1_000_000\n"
        "print(peak() - before, time.process_time() - began)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "packed")],
        capture_output=True,
        text=True,
        check=True,
    )
    kib, seconds = map(float, done.stdout.split())
    assert kib < 40_000  # the names alone, as Python holds them, are 56 MB
    assert seconds < 1


def grow(root: Path, count: int) -> None:
    """Repeat the only video of a packed store under many names; the rows are a hole in a file."""
    (record,) = np.fromfile(root / INDEX, RECORDS)
    names = np.char.add("v", np.char.zfill(np.arange(count).astype(str), 7))
    records = np.repeat(record, count)
    records["name_bytes"], records["entry_bytes"] = 8, 2
    records["text"] = 10 * np.arange(count)
    records["at"] = ALIGNMENT * np.arange(count)
    records.tofile(root / INDEX)
    (root / TEXTS).write_bytes("{}".join(names).encode() + b"{}")
    with (root / "shard-000000.bin").open("ab") as handle:
        handle.truncate(ALIGNMENT * count)
    head = json.loads((root / "manifest.json").read_text())
    head["fps"] = 25.0
    for key, name in (("index", INDEX), ("texts", TEXTS)):
        head["packed"][key]["bytes"] = (root / name).stat().st_size
    head["packed"]["shards"][0]["bytes"] = ALIGNMENT * count
    (root / "manifest.json").write_text(json.dumps(head))
    shutil.rmtree(root.parent / "store")

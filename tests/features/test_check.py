"""What `check_store` finds in a store, and what it leaves alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from wtal_features import Finding, check_store, open_store

SaveArray = Callable[..., Path]


def codes(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.code, finding.where) for finding in findings}


def test_every_fault_is_found_and_the_others_go_on(tmp_path: Path, save: SaveArray) -> None:
    good = np.random.default_rng(0).random((10, 4), dtype=np.float32)
    save(tmp_path / "good.npy", good)
    save(tmp_path / "double.npy", good.astype(np.float64))
    save(tmp_path / "objects.npy", np.array([good, None], dtype=object))
    save(tmp_path / "transposed.npy", good.T.copy())
    save(tmp_path / "other.npy", good[:, :3])
    save(tmp_path / "none.npy", good[:0])
    save(tmp_path / "nan.npy", good * np.float32(np.nan))
    save(tmp_path / "zero.npy", good * 0)
    save(tmp_path / "columns.npy", np.asfortranarray(good))
    save(tmp_path / "wrong_fps.npy", (100, 4))
    save(tmp_path / "bad:name.npy", good)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:-1])
    names = [path.stem for path in tmp_path.iterdir()]
    videos: dict[str, object] = {name: {"duration": 6.4} for name in [*names, "ghost"]}
    videos["wrong_fps"] = {"duration": 200.0}
    del videos["columns"]
    head = {"dim": 4, "fps": 25.0, "stride": 16, "window": 16}
    (tmp_path / "manifest.json").write_text(json.dumps({**head, "videos": videos}))

    expected = {
        ("dtype", "double"),
        ("object-dtype", "objects"),
        ("transposed", "transposed"),
        ("dim", "other"),
        ("no-snippets", "none"),
        ("fortran-order", "columns"),
        ("length", "wrong_fps"),
        ("name", "bad:name.npy"),
        ("truncated", "cut"),
        ("no-file", "ghost"),
        ("no-file", "bad:name"),
        ("no-entry", "columns"),
    }
    store = open_store(tmp_path)
    assert codes(check_store(store)) == expected
    with_values = check_store(store, values=True)
    assert codes(with_values) == expected | {("nan", "nan"), ("all-zero", "zero")}
    warnings = {finding.code for finding in with_values if finding.severity == "warning"}
    assert warnings == {"fortran-order", "no-entry"}
    assert all(finding.message and finding.cure for finding in with_values)


def test_a_good_store_has_no_findings_and_progress_is_told(tmp_path: Path, save: SaveArray) -> None:
    for video in "ab":
        save(tmp_path / f"{video}.npy")
    told: list[tuple[int, int]] = []
    store = open_store(tmp_path, fps=25, stride=16)
    assert check_store(store, values=True, progress=lambda *done: told.append(done)) == []
    assert told == [(1, 2), (2, 2)]


def test_every_sound_array_is_read_once_and_shown_to_those_who_watch(
    tmp_path: Path, save: SaveArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[tuple[str, tuple[int, ...]]] = []

        def add(self, video: str, features_TD: npt.NDArray[np.float32]) -> None:
            self.seen.append((video, features_TD.shape))

        def findings(self) -> list[Finding]:
            return [Finding("odd", "all", f"{len(self.seen)} seen.")]

    save(tmp_path / "a.npy", (3, 2))
    save(tmp_path / "b.npy", np.full((4, 2), np.nan, np.float32))
    save(tmp_path / "c.npy", np.zeros((5, 2), np.float32))
    save(tmp_path / "d.npy", (6, 2))
    store = open_store(tmp_path, fps=25, stride=16)
    read, readings = store.read, []

    def count(video: str) -> npt.NDArray[np.float32]:
        readings.append(video)
        return read(video)

    monkeypatch.setattr(store, "read", count)
    one, two = Watch(), Watch()
    found = check_store(store, watch=(one, two))
    assert readings == ["a", "b", "c", "d"]
    assert one.seen == two.seen == [("a", (3, 2)), ("d", (6, 2))]
    expected = [("nan", "b"), ("all-zero", "c"), ("odd", "all"), ("odd", "all")]
    assert [(finding.code, finding.where) for finding in found] == expected


@pytest.mark.parametrize(
    ("T", "fits"),
    # 100 s at 25 fps and stride 16 are 156.25 snippets; at 30 fps 187.5, at 24 fps 150.
    [(155, True), (156, True), (157, True), (187, False), (130, False)],
)
def test_a_wrong_fps_shows_in_the_duration(
    tmp_path: Path, save: SaveArray, T: int, fits: bool
) -> None:
    save(tmp_path / "a.npy", (T, 4))
    head = {"fps": 25.0, "stride": 16, "videos": {"a": {"duration": 100.0}}}
    (tmp_path / "manifest.json").write_text(json.dumps(head))
    assert codes(check_store(open_store(tmp_path))) == (set() if fits else {("length", "a")})

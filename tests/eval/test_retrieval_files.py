"""Files of retrieval: rankings, truths, pickles that want more than data, and the command."""

from __future__ import annotations

import collections
import json
import math
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wtal_eval
import wtal_eval.retrieval
from wtal_eval import EvalError
from wtal_eval.retrieval import evaluate_retrieval
from wtal_eval.retrieval.__main__ import main
from wtal_eval.retrieval.pickles import load_plain
from wtal_eval.retrieval.rankings import read_rankings

PROJECT = Path(__file__).parents[2]
PLAIN: dict[str, Any] = {
    "annotation": {"event": ({"q"}, frozenset({"a", "b"}), set())},
    "queries": ["q"],
    "database": {"a", "b", "c"},
    "others": [1, -70000, 2**70, 2.5, None, True, False, ("x",), (1, 2, 3, 4), (), [], {}],
}
PLAIN_RANKING = {"q": {"a": 0.5, "c": 0.4}}


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    return tmp_path / "truth.pickle"


# Rankings


def test_four_forms_of_a_ranking_read_the_same(tmp_path: Path) -> None:
    mapping: dict[str, Any] = {"q": {"a": 0.1, "b": 0.9}, "p": {"c": 1}}
    listed = {q: [[v, s] for v, s in ranking.items()] for q, ranking in mapping.items()}
    path = tmp_path / "ranking.json"
    for form in (mapping, listed):
        for document in (form, {"kind": "cosine", "results": form}):
            path.write_text(json.dumps(document))
            for source in (path, str(path), document):
                rankings = read_rankings(source)
                assert rankings.codes == {"a": 0, "b": 1, "c": 2}
                assert rankings.ranked["q"].tolist() == [1, 0]
                assert rankings.ranked["p"].tolist() == [2]


def test_numbers_of_numpy_are_similarities() -> None:
    found = {"q": {"a": np.float32(0.5), "b": np.int64(2)}}
    assert read_rankings(found).ranked["q"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"q": [["a", math.nan]]}, "query 'q', video 'a', similarity is nan, expected a finite"),
        ({"q": {"a": math.inf}}, "query 'q', video 'a', similarity is inf"),
        ({"q": {"a": "0.5"}}, "query 'q', video 'a', similarity is '0.5'"),
        ({"q": {"a": True}}, "query 'q', video 'a', similarity is True"),
        ({"q": {"a": None}}, "query 'q', video 'a', similarity is null"),
        ({"q": [["a", 0.5], ["a", 0.4]]}, "query 'q', video 'a' is ranked twice"),
        ({"q": [["a", 0.5], [7, 0.4]]}, r"query 'q', entry 1 \(from 0\), video is 7, expected a n"),
        ({"q": [["a", 0.5], ["", 0.4]]}, r"query 'q', entry 1 \(from 0\), video is ''"),
        ({"q": [["a", 0.5], ["b"]]}, r"query 'q', entry 1 \(from 0\), it is \['b'\], exp"),
        ({"q": 7}, "query 'q', its ranking is 7, expected an object"),
        ({"": {}}, "a query is '', expected a name"),
        ({1: {}}, "a query is 1, expected a name"),
        ({}, "no query is ranked"),
        ({"results": {}}, "no query is ranked"),
        ({"results": [1]}, r"'results' is \[1\], expected an object"),
    ],
)
def test_a_faulty_ranking_names_query_video_and_field(found: Any, sentence: str) -> None:
    with pytest.raises(EvalError, match=f"^rankings: {sentence}"):
        read_rankings(found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"q": {"a": 1, "a": 2}}', "key 'a' is twice in"),
        ('{"q": {}, "q": {}}', "key 'q' is twice in"),
        ('{"results": {"q": {"a": 1, "a": 2}}}', "key 'a' is twice in"),
        ('{"results": {"q": [["a", NaN]]}}', "video 'a', similarity is nan"),
        ('{"results": {"q": [["a", 1e999]]}}', "video 'a', similarity is inf"),
        ('{"results": []}', "'results' is "),
        ("[]", "Expected a JSON object"),
        ('{"q": {"a": 1', "is it truncated"),
        ("", "is empty"),
    ],
)
def test_a_broken_ranking_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "ranking.json"
    path.write_text(text)
    with pytest.raises(EvalError, match=sentence) as caught:
        read_rankings(path)
    assert str(path) in str(caught.value)


# Truths


def test_json_and_every_pickle_protocol_hold_the_same_truth(pickled: Path, tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled.write_bytes(pickle.dumps(PLAIN, protocol))
        assert load_plain(pickled) == PLAIN
    listed = {
        "annotation": {"event": [["q"], ["b", "a"], []]},
        "database": ["c", "b", "a"],
    }
    (tmp_path / "truth.json").write_text("\ufeff \n" + json.dumps(listed), encoding="utf-8")
    found = {"q": {"c": 0.9, "b": 0.8, "a": 0.7, "q": 1.0}}
    results = [
        evaluate_retrieval(found, source, "evve").to_json()
        for source in (pickled, tmp_path / "truth.json", PLAIN, listed)
    ]
    # c 0, b 1, a 2: ((0 + 1/2) + (1/2 + 2/3)) / 4
    assert results[0]["tasks"]["EVVE"]["map"] == pytest.approx(5 / 12)
    assert all(result == results[0] for result in results)


def test_a_set_as_python_2_wrote_it_is_read(pickled: Path) -> None:
    pickled.write_bytes(b"\x80\x02}q\x01U\x01sq\x02c__builtin__\nset\nq\x03]q\x04U\x01aa\x85Rs.")
    assert load_plain(pickled) == {"s": {"a"}}
    pickled.write_bytes(b"(dp0\nS'video_pairs'\np1\n(lp2\n(lp3\nS'a'\naS'b'\naas.")
    assert load_plain(pickled) == {"video_pairs": [["a", "b"]]}


def test_shared_texts_and_lists_are_no_fault(pickled: Path) -> None:
    names = ["first video", "second video"]
    pickled.write_bytes(pickle.dumps({"a": names, "b": names, "c": set(names)}))
    assert load_plain(pickled) == {"a": names, "b": names, "c": set(names)}


class Calls:
    """Runs a command when it is unpickled by `pickle`."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(
    pickled: Path, tmp_path: Path, protocol: int
) -> None:
    data = pickle.dumps({"queries": [Calls(tmp_path / "made")]}, protocol)
    pickle.loads(data)  # noqa: S301 - the danger is real: this makes the folder
    (tmp_path / "made").rmdir()
    pickled.write_bytes(data)
    with pytest.raises(EvalError, match=r"holds the name '\w+\.mkdir'; expected numbers.*not") as e:
        evaluate_retrieval({"q": {"a": 1.0}}, pickled, "evve")
    assert "\n" not in str(e.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (pickle.dumps(collections.OrderedDict(a=1)), "the name 'collections.OrderedDict'"),
        (pickle.dumps(np.zeros(2)), "the name 'numpy"),
        (pickle.dumps(b"bytes"), "the instruction SHORT_BINBYTES"),
        (pickle.dumps(2**3000), "the instruction LONG4"),
        (pickle.dumps({("a", "b"): 1}), "a key or member of type tuple"),
        (pickle.dumps({frozenset()}), "a key or member of type frozenset"),
        (b"c__builtin__\neval\n.", "the name '__builtin__.eval'"),
        (b"cbuiltins\nset\n.", "the type 'set' as a value"),
        (b"cbuiltins\nset\nX\x02\x00\x00\x00ab\x85R.", "a set made of something that is no list"),
        (b"]K\x01\x85R.", "a call of something that is no set"),
        (b"cbuiltins\nset\n]R.", "a call of something that is no set"),
        (b"P0\n.", "the instruction PERSID"),
        (b"\x80\x04cbuiltins\nset\n)\x81.", "the instruction NEWOBJ"),
        (b"]}b.", "the instruction BUILD"),
        (b"\x82\x01.", "the instruction EXT1"),
        (b"(i__main__\nEvil\n.", "the instruction INST"),
    ],
)
def test_whatever_plain_data_does_not_need_is_refused(
    pickled: Path, data: bytes, sentence: str
) -> None:
    pickled.write_bytes(data)
    with pytest.raises(EvalError, match=f"the pickle holds {sentence}"):
        load_plain(pickled)


def bomb_of_lists(levels: int) -> bytes:
    """A list of ten times one list of ten times one list .."""
    parts = [b"]q\x00"]
    for level in range(levels):
        parts.append(b"]q" + bytes([level + 1]) + b"(" + (b"h" + bytes([level])) * 10 + b"e")
    return b"".join(parts) + b"."


@pytest.mark.parametrize(
    "data",
    [
        b"]q\x00h\x00a.",  # a list of itself
        bomb_of_lists(12),
        bomb_of_lists(100),
        b"]" + b"](" * 5000 + b"e" * 5000 + b".",
        b"N" + b"\x85" * 100_000 + b".",  # a tuple in a tuple in ..
        b"]N" + b"\x85" * 100_000 + b"\x8f.",
    ],
)
def test_bombs_are_refused_at_once(pickled: Path, data: bytes) -> None:
    pickled.write_bytes(data)
    started = time.process_time()
    with pytest.raises(EvalError):
        load_plain(pickled)
    assert time.process_time() - started < 2.0


def test_copies_of_one_list_take_no_memory(pickled: Path) -> None:
    # 1,000 sets, each made of the same list with 1,000 members: 33 MB from 25 kB.
    members = b"".join(b"M" + i.to_bytes(2, "little") for i in range(1000))
    sets = b"cbuiltins\nset\nh\x00\x85R" * 1000
    pickled.write_bytes(b"](](" + members + b"eq\x00" + sets + b"e.")
    tracemalloc.start()
    try:
        with pytest.raises(EvalError, match="more values than the file has bytes"):
            load_plain(pickled)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_length_that_the_file_does_not_have_takes_no_memory(pickled: Path) -> None:
    for head in (b"\x8d", b"\x96", b"\x8e"):
        pickled.write_bytes(b"\x80\x05" + head + (1 << 60).to_bytes(8, "little") + b"abc.")
        with pytest.raises(EvalError):
            load_plain(pickled)
    pickled.write_bytes(b"]r\xff\xff\xff\x7f.")  # place 2^31 - 1 of the memo
    assert load_plain(pickled) == []


def fault(ranking: Any, truth: Any, protocol: str) -> str:
    """The message of the error, or nothing if there is a result; anything else is raised."""
    try:
        evaluate_retrieval(ranking, truth, protocol)
    except EvalError as error:
        return str(error)
    return ""


def test_damaged_pickles_give_a_value_or_one_sentence(pickled: Path) -> None:
    draw = np.random.default_rng(0)
    originals = [pickle.dumps(PLAIN, protocol) for protocol in range(6)]
    refused = 0
    for turn in range(500):
        data = bytearray(originals[turn % len(originals)])
        for _ in range(int(draw.integers(1, 6))):
            place = int(draw.integers(len(data)))
            if draw.random() < 0.7:
                data[place] = int(draw.integers(256))
            elif draw.random() < 0.5:
                del data[place : place + int(draw.integers(1, 9))]
                data = data or bytearray(b".")
            else:
                data[place:place] = data[: int(draw.integers(1, 9))]
        pickled.write_bytes(data)
        message = fault(PLAIN_RANKING, pickled, "evve")
        assert "\n" not in message, (turn, bytes(data))
        refused += message != ""
    assert 150 < refused < 500


def test_damaged_json_gives_a_value_or_one_sentence(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    truths = {
        "fivr": {"annotation": {"q": {"ND": ["a"]}}, "5k": {"queries": ["q"], "database": ["a"]}},
        "ccweb": {"queries": ["q"], "ground_truth": [{"q": "E", "a": "S"}], "excluded": [["a"]]},
        "evve": {"annotation": {"e": [["q"], ["a"], []]}, "database": ["a", "b"]},
        "vcdb": {"video_pairs": [{"videos": ["q", "a"]}, ["a", "b"]], "index": ["a", "b", "q"]},
        "pairs": {"q": ["a", "b"], "p": []},
    }
    found = {"results": {"q": [["q", 1.0], ["a", 0.5], ["b", 0.25]]}}
    tokens = ["null", "[]", "{}", '"q"', "7", "true", "NaN", '""', "[[]]", '{"a": 1}', "1e999"]
    ranking, truth = tmp_path / "ranking.json", tmp_path / "truth.json"
    refused = 0
    for turn in range(500):
        protocol = list(truths)[turn % len(truths)]
        texts = [json.dumps(found), json.dumps(truths[protocol])]
        side = int(draw.integers(2))
        places = [i for i, letter in enumerate(texts[side]) if letter in '[{"']
        start = int(draw.choice(places))
        end = start + int(draw.integers(0, 8))
        token = tokens[draw.integers(len(tokens))] if draw.random() < 0.8 else ""
        texts[side] = texts[side][:start] + token + texts[side][end:]
        ranking.write_text(texts[0])
        truth.write_text(texts[1])
        message = fault(ranking, truth, protocol)
        assert "\n" not in message, texts
        refused += message != ""
    assert 150 < refused < 490


def test_a_truth_that_cannot_be_read_is_named(tmp_path: Path, pickled: Path) -> None:
    found = {"q": {"a": 1.0}}
    with pytest.raises(EvalError, match=r"absent\.json cannot be read"):
        evaluate_retrieval(found, tmp_path / "absent.json", "pairs")
    with pytest.raises(EvalError, match="cannot be read: No such file"):
        load_plain(tmp_path / "absent.pickle")
    with pytest.raises(EvalError, match="folder, pipe or device"):
        evaluate_retrieval(found, tmp_path, "pairs")
    pickled.write_text("q a b\n")
    with pytest.raises(EvalError, match="neither JSON nor an undamaged pickle"):
        evaluate_retrieval(found, pickled, "pairs")
    pickled.write_bytes(pickle.dumps(["q"]))
    with pytest.raises(EvalError, match=r"it is \['q'\], expected an object"):
        evaluate_retrieval(found, pickled, "pairs")
    pickled.write_text('{"q": ["a"], "q": ["b"]}')
    with pytest.raises(EvalError, match="key 'q' is twice"):
        evaluate_retrieval(found, pickled, "pairs")
    with pytest.raises(EvalError, match=r"'annotation' is missing, expected .*; it holds 'q'"):
        evaluate_retrieval(found, {"q": ["a"]}, "evve")


def test_a_pickle_over_the_limit_is_not_read(
    pickled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wtal_eval.retrieval.pickles.MAX_BYTES", 40)
    pickled.write_bytes(pickle.dumps(["x" * 40]))
    with pytest.raises(EvalError, match=r"has \d+ bytes; expected at most 40"):
        load_plain(pickled)


# The command


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """One query of EVVE with its positive in second place."""
    ranking, truth = tmp_path / "ranking.json", tmp_path / "truth.json"
    ranking.write_text(json.dumps({"results": {"q": [["c", 0.9], ["a", 0.5]]}}))
    truth.write_text(json.dumps({"annotation": {"the event": [["q", "p"], ["a"], ["c"]]}}))
    return str(ranking), str(truth)


def test_the_command_prints_tasks_events_queries_and_warnings(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, "--protocol", "evve", "--per-query"]) == 0
    assert capsys.readouterr().out == (
        "evve: 1 of 2 queries are ranked; 2 videos\n"
        "\n"
        "task        mAP (%)  queries  positives  absent\n"
        "EVVE          25.00        1          1       0\n"  # a at rank 1 from 0: (0 + 1/2) / 2
        "\n"
        "event\n"
        "the event     25.00\n"
        "\n"
        "query, AP (%) of EVVE\n"
        "q             25.00\n"
        "\n"
        "warning: 1 query of the truth is not ranked and is left out of the mean: 'p'.\n"
    )


def test_the_json_holds_what_python_has(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "eval.json"
    assert main([*files, "--protocol", "evve", "--json", str(target), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    document = json.loads(target.read_text())
    assert document == evaluate_retrieval(*files, "evve").to_json()
    keys = ["version", "protocol", "counts", "tasks", "missing", "warnings"]
    assert list(document) == keys
    assert document["version"] == wtal_eval.__version__
    assert document["tasks"]["EVVE"] == {
        "map": 0.25,
        "queries": 1,
        "positives": 1,
        "absent": 0,
        "without_positives": [],
        "groups": {"the event": 0.25},
        "ap": {"q": 0.25},
    }


def test_the_gallery_is_a_file_of_names(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, gallery = tmp_path / "pairs.json", tmp_path / "gallery.txt"
    truth.write_text(json.dumps({"q": ["c", "far"]}))
    gallery.write_text("far\n")
    assert main([files[0], str(truth), "--protocol", "pairs"]) == 0
    assert "pairs    100.00        1          1       1" in capsys.readouterr().out
    assert main([files[0], str(truth), "--protocol", "pairs", "--gallery", str(gallery)]) == 0
    assert "pairs     50.00        1          2       0" in capsys.readouterr().out


def test_a_fault_is_one_sentence_and_a_missing_protocol_is_usage(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, "--protocol", "vcdb"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "'video_pairs' is missing" in printed.err
    with pytest.raises(EvalError):
        main([*files, "--protocol", "vcdb", "--debug"])
    with pytest.raises(SystemExit) as stopped:
        main([*files])
    assert stopped.value.code == 2


def test_python_m_runs_it_with_numpy_alone(files: tuple[str, str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "eval")}
    command = [sys.executable, "-m", "wtal_eval.retrieval", *files, "--protocol", "evve"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "EVVE          25.00" in done.stdout
    code = "import sys, wtal_eval.retrieval as r; r.evaluate_retrieval; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert not {"torch", "pandas", "scipy", "wtal"} & set(done.stdout.split())


def test_the_package_offers_its_names_and_no_other() -> None:
    assert dir(wtal_eval.retrieval) == sorted(wtal_eval.retrieval.__all__)
    for name in wtal_eval.retrieval.__all__:
        assert getattr(wtal_eval.retrieval, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wtal_eval.retrieval.nothing  # noqa: B018

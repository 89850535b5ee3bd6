"""`wtal bench ablation`: the table is right, nothing is mixed, and what is done is kept."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal import training
from wtal.bench import ablation, ablation_pool, ablation_unit
from wtal.bench.ablation_rows import (
    LOCALIZER_SWITCHES,
    Row,
    as_overrides,
    changed_keys,
    config_of,
    find_row,
    flat,
    folder_name,
    read_row,
    read_rows,
)
from wtal.bench.ablation_table import HEADLINE, TableRow, figures_of, paired
from wtal.bench.ablation_unit import Unit
from wtal.checkpoint import STATE_FILE, load_state
from wtal.cli import app
from wtal.config import Config, known_keys, load_config
from wtal.errors import WtalError
from wtal_features import FeatureStore

ROOT = Path(__file__).parents[2]
SMALL = ("-o", "model.hidden_dim=8", "-o", "train.batch_size=4", "-o", "train.steps=4")
COLUMNS = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]
COLUMNS += ["0.1:0.5", "0.1:0.7", "0.3:0.7", "0.1:0.9", "video mAP"]
FAULT = "The loss term 'norm' is nan."


class Data(NamedTuple):
    """A toy data set, a config, and where the runs go."""

    store: Path
    tags: Path
    annotations: Path
    config: Path
    out: Path


class Trained(NamedTuple):
    """What a command did."""

    code: int
    units: list[Unit]
    runs: list[Path]  # that were trained


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.chdir(tmp_path)
    config = Path("base.yaml")
    config.write_text("")
    return Data(*make_store(tmp_path), config, tmp_path / "out")


@pytest.fixture(autouse=True)
def _few_threads() -> Iterator[None]:
    """The units of this file may set them."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def words(data: Data, *rows: object, seeds: str = "0,1", more: Sequence[object] = ()) -> list[str]:
    named = ("-f", data.store, "--annotations", data.annotations, "--out", data.out)
    return [str(word) for word in (*rows, *named, "--seeds", seeds, "-q", *SMALL, *more)]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, data: Data) -> Callable[..., Trained]:
    """The command with its units in this process; rows and options as in `words`."""
    units: list[Unit] = []
    runs: list[Path] = []
    train = training.train

    def counted(config: Any, store: Any, labels: Any, out: Path, **parts: Any) -> Any:
        runs.append(out)
        return train(config, store, labels, out, **parts)

    def in_process(given: Sequence[Unit], jobs: int, *, on_end: Any, on_wait: Any) -> None:
        for unit in given:
            units.append(unit)
            ablation_unit.run_unit(Unit.from_json(unit.to_json()))
            on_end(unit, "", "")

    monkeypatch.setattr(ablation_unit, "train", counted)
    monkeypatch.setattr(ablation, "run_units", in_process)

    def run(*rows: object, **how: Any) -> Trained:
        units.clear()
        runs.clear()
        code = ablation.main(words(data, *rows, **how))
        return Trained(code, list(units), list(runs))

    return run


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def scores(data: Data) -> list[dict[str, Any]]:
    """Figures of every row in the written table, by column."""
    return [row["figures"] for row in read(data.out / "ablation.json")["rows"]]


def cells(data: Data, label: str) -> list[str]:
    """The cells of one row of the Markdown table."""
    lines = (data.out / "table.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[2:-1]]


# Rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "overrides", "localizer"),
    [
        ("base.yaml", [], []),
        ("base.yaml,train.steps=3,loss.norm=sum", ["train.steps=3", "loss.norm=sum"], []),
        ("base.yaml+localize.nms=hard", [], ["localize.nms=hard"]),
        (
            "base.yaml,train.lr=1e+5+localize.thresholds=[0.1,0.2],compat.left_edge_bins=true",
            ["train.lr=1e+5"],
            ["localize.thresholds=[0.1,0.2]", "compat.left_edge_bins=true"],
        ),
        ("K = 100::base.yaml,train.steps=3", ["train.steps=3"], []),
    ],
)
def test_a_row_is_a_file_with_overrides_of_two_kinds(
    text: str,
    overrides: list[str],
    localizer: list[str],
    data: Data,
) -> None:
    (row,) = read_rows([text])
    assert row.file == Path("base.yaml")
    assert (list(row.overrides), list(row.localizer)) == (overrides, localizer)
    assert row.label == ("K = 100" if "::" in text else row.short)
    assert read_rows([row.source])[0].key == row.key


def test_a_folder_is_a_row_for_each_of_its_files_and_a_row_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/y.yaml", "a/x.yaml", "b/x.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    rows = read_rows(["a/y.yaml", "a", "b,train.steps=2", "./b/../b/x.yaml"])
    assert [row.label for row in rows] == ["y", "a/x", "x, train.steps=2", "b/x"]
    assert [row.folder for row in rows] == ["a-y", "a-x", "b-x,train.steps=2", "b-x"]
    assert [row.label for row in read_rows(["two::a"])] == ["two x", "two y"]
    assert find_row(rows, "b/x") == find_row(rows, "b/x.yaml") == find_row(rows, "b") == 3
    for wrong in ("a", "a/z.yaml", "z"):
        with pytest.raises(WtalError, match=f"--baseline '{wrong}' is none of the rows: y; a/x"):
            find_row(rows, wrong)


def test_what_is_no_row_is_refused(data: Data) -> None:
    base = data.config
    empty = base.parent / "empty"
    empty.mkdir()
    for text, why in {
        "nowhere.yaml": "nowhere.yaml is no file; expected",
        str(empty): "holds no .yaml file",
        f"{base}+train.steps=3": "training reads train.steps",
        f"{base}+compat.log_of_softmax=true": "after a comma instead of the plus",
    }.items():
        with pytest.raises(WtalError, match=re.escape(why)):
            read_row(text)
    with pytest.raises(WtalError, match="2 rows are labelled 'x'"):
        read_rows([f"x::{base}", f"x::{base},train.steps=3"])


def test_every_switch_of_the_localizer_exists_and_overrides_of_it_are_checked(data: Data) -> None:
    assert set(LOCALIZER_SWITCHES) <= set(known_keys())
    with pytest.raises(WtalError, match=r"unknown key 'localize\.nmss'"):
        config_of(Row("x", data.config, (), ("localize.nmss=hard",)))


def test_different_texts_have_different_folders() -> None:
    same_but_for = [
        "a/b",
        "a-b",
        "a_b",
        "/a/b",
        "a//b",
        "../a/b",
        "a/b,x=1",
        "a/b,x=-1",
        "a,b",
        ".a",
    ]
    same_but_for += ["k" * 200, "k" * 201, "a/é", "a/ê", "a b", "a~b"]
    names = {folder_name(text) for text in same_but_for}
    assert len(names) == len(same_but_for)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_=,~][A-Za-z0-9_.=,~-]*", name)
        assert len(name) <= 80


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_a_config_travels_as_overrides_unchanged(path: Path) -> None:
    config = load_config(path)
    assert load_config(None, as_overrides(config), allow_idle=True) == config
    assert changed_keys(flat(config), config) == []


def test_a_key_that_an_old_record_lacks_had_its_default() -> None:
    record = flat(load_config(None, ["train.steps=3"]))
    del record["localize.nms"]
    config = load_config(None, ["train.steps=3", "train.checkpoint_every=9"])
    assert changed_keys(record, config) == []
    hard = load_config(None, ["train.steps=4", "localize.nms=hard"])
    assert changed_keys(record, hard) == ["train.steps", "localize.nms"]


# Table --------------------------------------------------------------------------------------------


def fabricate(
    monkeypatch: pytest.MonkeyPatch, maps: dict[tuple[str, int], Any], minutes: dict[int, float]
) -> None:
    """Units that write made-up figures; (row, seed) without any fails."""

    def fake(units: Sequence[Unit], jobs: int, *, on_end: Any, on_wait: Any) -> None:
        for unit in units:
            name, seed = unit.run.parent.name, int(unit.run.name[5:])
            map_J = maps.get((name, seed))
            if map_J is not None:
                unit.run.mkdir(parents=True)
                config = flat(load_config(None, unit.settings, allow_idle=True))
                record = {"config": config, "digests": unit.digests, "finished": True}
                record["seconds"] = 60 * minutes[seed] if seed in minutes else None
                (unit.run / "ablation.json").write_text(json.dumps(record))
                file = ablation_unit.score_file(unit.run, unit.subset, ())
                file.write_text(json.dumps(made_up(map_J)))
            on_end(unit, "" if map_J is not None else FAULT, "")

    monkeypatch.setattr(ablation, "run_units", fake)


def made_up(map_J: Any) -> dict[str, Any]:
    """A result with the given mAP at tIoU .1 to .9."""
    at = {f"0.{j + 1}": float(map_J[j]) for j in range(9)}
    spans = {"0.1:0.5": (0, 5), "0.1:0.7": (0, 7), "0.3:0.7": (2, 7), "0.1:0.9": (0, 9)}
    averages = {name: float(np.mean(map_J[low:high])) for name, (low, high) in spans.items()}
    figures = {"map": at, "averages": averages}
    about = {"localizer": [], "videos": 6, "skipped": {}, "made": "a machine", "protocol": "p"}
    return {**about, **figures, "video_map": 0.5, "trivial": {k: figures[k] for k in figures}}


def test_the_table_holds_what_a_computation_by_hand_gives(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(0).uniform(0.2, 0.8, (2, 5, 9))
    names = ("base", "base,train.steps=5")
    maps = {(names[r], s): draws[r, s] for r in range(2) for s in range(5) if (r, s) != (1, 3)}
    fabricate(monkeypatch, maps, {0: 1.0, 1: 4.0, 2: 2.0})
    rows = (f"the | base::{data.config}", f"{data.config},train.steps=5")
    assert ablation.main(words(data, *rows, seeds="0,1,2,3,4")) == 1
    said = capsys.readouterr()
    assert said.out == (data.out / "table.md").read_text().rstrip("\n") + "\n"
    assert said.err.splitlines() == [
        "1 of 10 results are missing:",
        f"  base, train.steps=5, seed 3: {FAULT}",
    ]
    percent = 100 * draws[0]
    averages = [percent[:, a:b].mean(1) for a, b in ((0, 5), (0, 7), (2, 7), (0, 9))]
    columns = [*percent[:, :7].T, *averages, np.full(5, 50.0)]
    expected = [f"{x.mean():.1f} ± {x.std(ddof=1):.1f}" for x in columns]
    each = ", ".join(f"{x:.1f}" for x in averages[1])
    assert cells(data, "the \\| base") == [*expected, each, "", "2.0"]

    both = [0, 1, 2, 4]
    ours, base = (100 * draws[r, both, :7].mean(1) for r in (1, 0))
    test = stats.ttest_rel(ours, base)
    low, high = test.confidence_interval(0.95)
    found = cells(data, "base, train.steps=5")
    assert found[-2] == f"{(ours - base).mean():+.2f} ± {(high - low) / 2:.2f}"
    assert found[-3].split(", ")[3] == "-"
    stored = read(data.out / "ablation.json")["rows"][1]
    assert stored["difference"]["seeds"] == both
    assert 100 * stored["difference"]["half"] == pytest.approx((high - low) / 2)
    assert 100 * stored["difference"]["mean"] == pytest.approx((high + low) / 2)
    assert stored["row"] == rows[1]
    assert stored["train_minutes"] == 2.0
    assert "Made with: a machine." in said.out
    assert "over seeds 0, 1, 2, 3, 4" in said.out
    assert said.out.splitlines()[2].startswith("| whole video x true tags |")


def test_the_baseline_may_be_another_row_and_a_second_json_may_be_asked_for(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    high, low = np.full(9, 0.6), np.full(9, 0.5)
    fabricate(monkeypatch, {("base", 7): low, ("base,train.steps=5", 7): high}, {})
    rows = (data.config, f"more::{data.config},train.steps=5")
    extra = data.out.parent / "extra.json"
    given = words(data, *rows, seeds="7", more=("--baseline", "more", "--json", extra))
    assert ablation.main(given) == 0
    assert read(extra) == read(data.out / "ablation.json")
    assert read(extra)["baseline"] == "more"
    assert cells(data, "base")[-3:] == ["50.0", "-10.00", "-"]
    assert cells(data, "more")[-2] == ""


def test_rows_without_a_common_seed_have_no_difference() -> None:
    row = TableRow("a", {0: {HEADLINE: 0.5}})
    assert paired(row, TableRow("b", {1: {HEADLINE: 0.4}})) is None
    undefined = figures_of({"map": {"0.1": 0.5}, "averages": {}, "video_map": None})
    assert undefined == {"0.1": 0.5}


# Runs ---------------------------------------------------------------------------------------------


def test_what_is_done_is_kept_and_new_seeds_and_rows_are_added(
    data: Data, bench: Callable[..., Trained]
) -> None:
    first = bench(data.config)
    assert first.code == 0
    assert [run.name for run in first.runs] == ["seed-0", "seed-1"]
    before = (data.out / "table.md").read_text()
    again = bench(data.config)
    assert again == (0, [], [])
    assert (data.out / "table.md").read_text() == before
    more = bench(data.config, f"{data.config},train.steps=3", seeds="0,1,2")
    assert [str(run.relative_to(data.out)) for run in more.runs] == [
        "base,train.steps=3/seed-0",
        "base,train.steps=3/seed-1",
        "base/seed-2",
        "base,train.steps=3/seed-2",
    ]
    assert scores(data)[0][HEADLINE]["each"][:2] == scores_before(before)


def scores_before(table: str) -> Any:
    """Seeds of the one row of a table, to its precision."""
    line = table.splitlines()[3]
    each = [float(x) / 100 for x in line.split("|")[14].split(",")]
    return pytest.approx(each, abs=5e-4)


def test_overrides_of_the_localizer_share_the_training_run(
    data: Data, bench: Callable[..., Trained]
) -> None:
    plus, comma = f"{data.config}+localize.nms=hard", f"{data.config},localize.nms=hard"
    assert len(bench(data.config, seeds="0").runs) == 1
    assert bench(data.config, plus, seeds="0").runs == []
    assert len(bench(data.config, plus, comma, f"{comma}+localize.nms=soft", seeds="0").runs) == 1
    base, shared, own, back = scores(data)
    assert shared == own
    assert back == base
    run = data.out / "base" / "seed-0"
    own_detections, variant = run / "detections.json", next(run.glob("detections-test+*.json"))
    assert own_detections.read_bytes() != variant.read_bytes()


def test_every_scoring_of_the_test_subset_is_counted(
    data: Data, bench: Callable[..., Trained]
) -> None:
    plus = f"{data.config}+localize.max_detections=1"
    bench(plus, data.config, seeds="0")
    run = data.out / "base" / "seed-0"
    assert read(run / "eval.json")["readings"] == 2
    own = read(run / "score-test.json")
    assert read(run / "eval.json")["averages"] == own["averages"]
    bench(f"{data.config}+localize.max_detections=2", plus, seeds="0")
    assert read(run / "eval.json")["readings"] == 3
    assert read(run / "eval.json")["averages"] == own["averages"]
    assert CliRunner().invoke(app, ["eval", str(run), str(data.annotations)]).exit_code == 0
    assert read(run / "eval.json")["readings"] == 4


def test_held_out_scores_training_videos_and_never_reads_the_test_subset(
    data: Data, bench: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    plain_read = FeatureStore.read

    def watched(store: FeatureStore, video: str) -> Any:
        seen.add(video)
        return plain_read(store, video)

    monkeypatch.setattr(FeatureStore, "read", watched)
    plus = f"{data.config}+localize.nms=hard"
    done = bench(data.config, plus, more=("--held-out", "0.25"))
    database = read(data.annotations)["database"]
    assert {database[video]["subset"] for video in seen} == {"training"}
    found = [row[HEADLINE]["each"] for row in scores(data)]
    for run, figure in zip(done.runs, found[0], strict=True):
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        assert figure == last["validation_map"]
        assert not (run / "eval.json").exists()
        assert 3 <= read(run / "score-held-out.json")["videos"] < 12
    assert found[0] != found[1]
    table = (data.out / "table.md").read_text()
    assert "held-out training videos, not the test subset (a share of 0.25" in table
    with pytest.raises(
        WtalError, match=r"another config \(validation.fraction, validation.labels\)"
    ):
        bench(data.config)


def test_tags_train_while_annotations_score_and_name_the_subsets(
    data: Data, bench: Callable[..., Trained]
) -> None:
    bench(data.config, seeds="0")
    expected = scores(data)
    pairs = data.tags.with_name("pairs.csv")
    lines = [line.rsplit(",", 1)[0] for line in data.tags.read_text().splitlines()]
    pairs.write_text("\n".join(lines) + "\n")
    for folder, tags in (("a", data.tags), ("b", pairs)):
        out = data.out.with_name(folder)
        bench(data.config, seeds="0", more=("--tags", tags, "--out", out))
        assert scores(data._replace(out=out)) == expected


def test_a_config_or_inputs_that_changed_are_refused_before_anything_runs(
    data: Data, bench: Callable[..., Trained]
) -> None:
    bench(data.config, seeds="0")
    before = {path: path.read_bytes() for path in data.out.rglob("*") if path.is_file()}
    data.config.write_text("localize: {nms: hard}")
    with pytest.raises(WtalError, match=r"seed-0 was made with another config \(localize.nms\)"):
        bench(f"{data.config},train.steps=9", data.config, seeds="0,1")
    data.config.write_text("train: {log_every: 1}")  # changes no step
    assert bench(data.config, seeds="0").units == []
    manifest = data.store / "manifest.json"
    kept = manifest.read_text()
    manifest.write_text(kept.replace('"fps": 25.0', '"fps": 24.0'))
    with pytest.raises(WtalError, match=r"made with other features than .*store; name those"):
        bench(data.config, seeds="0")
    manifest.write_text(kept)
    data.annotations.write_text(data.annotations.read_text().replace('"Run"', '"Walk"'))
    with pytest.raises(WtalError, match=r"made with other labels than .*annotations\.json"):
        bench(data.config, seeds="0")
    tables = [data.out / name for name in ("table.md", "ablation.json")]
    assert all(path.read_bytes() == was for path, was in before.items() if path not in tables)


def test_a_result_without_its_record_is_made_anew(
    data: Data, bench: Callable[..., Trained]
) -> None:
    (run,) = bench(data.config, seeds="0").runs
    expected = scores(data)
    (run / "ablation.json").unlink()
    (run / "score-test.json").write_text("{}")
    assert bench(data.config, seeds="0").runs == [run]
    assert scores(data) == expected
    assert read(run / "ablation.json")["seconds"] is None  # of the first session
    (run / "score-test.json").write_text("{}")
    with pytest.raises(WtalError, match=r"score-test\.json is no result of an ablation; remove it"):
        bench(data.config, seeds="0")


def test_a_stopped_training_goes_on_where_it_was(
    data: Data, bench: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(data.config, seeds="0", more=("--out", data.out.with_name("whole")))
    step = training.train_step

    def stopped(*args: Any, **parts: Any) -> Any:
        if parts["step"] == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*args, **parts)

    monkeypatch.setattr(training, "train_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        bench(data.config, seeds="0")
    monkeypatch.setattr(training, "train_step", step)
    (run,) = bench(data.config, seeds="0").runs
    lines = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1] == 4
    assert read(run / "ablation.json")["finished"] is True
    assert read(run / "ablation.json")["seconds"] > 0
    assert scores(data) == scores(data._replace(out=data.out.with_name("whole")))


def test_a_video_that_cannot_be_read_is_named_below_the_table(
    data: Data, bench: Callable[..., Trained]
) -> None:
    for video in ("video_012", "video_003"):  # of the test and the training subset
        (data.store / f"{video}.npy").write_bytes(b"")
    assert bench(data.config, seeds="0").code == 0
    table = (data.out / "table.md").read_text()
    assert "2 videos could not be read and are missing: video_012" in table
    out = data.out.with_name("held")
    bench(data.config, more=("--held-out", "0.25", "--out", out))
    for run, figure in zip(
        ("seed-0", "seed-1"), scores(data._replace(out=out))[0][HEADLINE]["each"], strict=True
    ):
        last = json.loads((out / "base" / run / "metrics.jsonl").read_text().splitlines()[-1])
        assert figure == last["validation_map"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--subset", "tset"), "has no video of subset 'tset'; present: test, training"),
        (("-o", "data.train_subset=none"), "has no subset to train on"),
        (("--held-out", "0.01"), "holds out no video with a tag"),
        (("-o", "train.stepz=3"), "the nearest known one is 'train.steps'"),
    ],
)
def test_bad_input_is_one_sentence(
    more: tuple[str, str], why: str, data: Data, bench: Callable[..., Trained]
) -> None:
    with pytest.raises(WtalError, match=re.escape(why)):
        bench(data.config, seeds="0", more=more)


@pytest.mark.parametrize(
    "more",
    [
        ("--held-out", "1"),
        ("--held-out", "0.2", "--subset", "test"),
        ("--jobs", "0"),
        ("--seeds", "0,0"),
        ("--seeds", "-1"),
    ],
)
def test_a_wrong_option_is_a_usage_error(more: tuple[str, ...], data: Data) -> None:
    with pytest.raises(SystemExit) as ended:
        ablation.main(words(data, data.config, more=more))
    assert ended.value.code == 2


# Processes ----------------------------------------------------------------------------------------


def unit_in(folder: Path) -> Unit:
    """One that is never run."""
    inputs = ablation_unit.Inputs("store", "annotations.json")
    return Unit.make(folder, Config(), localizers=((),), inputs=inputs, digests={}, subset="test")


ENDINGS = {
    'import sys; sys.stdin.readline(); print(\'{"fault": ""}\')': "",
    'print(\'{"fault": "A sentence."}\')': "A sentence.",
    "import os; os.kill(os.getpid(), 9)": "Its process was ended by SIGKILL (the system may have "
    "been short of memory); the same command continues it.",
    "raise ValueError('no GPU')": "Its process failed: ValueError: no GPU",
}


def test_a_process_that_dies_takes_one_unit_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}
    for number, program in enumerate(ENDINGS):
        monkeypatch.setattr(ablation_pool, "COMMAND", (sys.executable, "-c", program))
        units = [unit_in(tmp_path / f"{number}")] * 2
        ablation_pool.run_units(
            units, 2, on_end=lambda unit, fault, words: told.update({unit.run.name: fault})
        )
    assert list(told.values()) == list(ENDINGS.values())


def test_ctrl_c_lets_every_process_end_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a unit does: it goes on until its input ends.
    program = (
        f"import sys; sys.stdin.read(); open('{tmp_path}/' + str(__import__('os').getpid()), 'w')"
    )
    monkeypatch.setattr(ablation_pool, "COMMAND", (sys.executable, "-c", program))
    started = time.monotonic()

    def interrupt() -> None:
        if time.monotonic() - started > 0.3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        ablation_pool.run_units(
            [unit_in(tmp_path)] * 3, 2, on_end=lambda *_: None, on_wait=interrupt
        )
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_unit_whose_input_ends_keeps_a_checkpoint(data: Data) -> None:
    options = ablation.parser().parse_intermixed_args(
        words(
            data, f"{data.config},train.steps=100000", seeds="0", more=("-o", "train.log_every=1")
        )
    )
    plan = ablation.plan(read_rows(options.rows), options)
    (unit,) = ablation.units_of(plan, options, "cpu")
    running = ablation_pool._start(unit)
    lines = unit.run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (lines.exists() and lines.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    ablation_pool._close_input(running.process)
    fault, _ = ablation_pool._ended(running)
    assert fault == "It was stopped; the same command continues it."
    assert load_state(unit.run / STATE_FILE).step > 0
    assert read(unit.run / "ablation.json")["finished"] is False


@pytest.mark.slow
def test_jobs_side_by_side_give_the_table_of_one_after_the_other(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that fails is listed by name, and the others go on."""
    tables = []
    for jobs in ("1", "2"):
        out = data.out.with_name(f"jobs-{jobs}")
        rows = (f"diverging::{data.config},train.lr=1e38", data.config)
        more = ("--jobs", jobs, "--threads", "1", "--baseline", "base")
        assert ablation.main(words(data._replace(out=out), *rows, seeds="0", more=more)) == 1
        said = capsys.readouterr()
        assert said.out == (out / "table.md").read_text().rstrip("\n") + "\n"
        title, line = said.err.splitlines()
        assert title == "1 of 2 results are missing:"
        assert re.match(r"  diverging, seed 0: The loss term '\w+' is (nan|inf) at step", line)
        tables.append([row["figures"] for row in read(out / "ablation.json")["rows"]])
    assert tables[0] == tables[1]
    assert [row[HEADLINE] is not None for row in tables[0]] == [False, True]


# Command ------------------------------------------------------------------------------------------


def test_the_command_prints_the_table_or_one_sentence(
    data: Data, bench: Callable[..., Trained]
) -> None:
    given = ["bench", "ablation", *words(data, data.config, seeds="0")]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == (data.out / "table.md").read_text().rstrip("\n") + "\n"
    data.config.write_text("localize: {nms: hard}")
    refused = CliRunner().invoke(app, given)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error: {data.out / 'base' / 'seed-0'} was made with another")
    assert len(refused.stderr.splitlines()) == 1
    for wrong in (given[:2], ["bench", "nms", "ablation"], [*given[:2], *given[3:]]):
        usage = CliRunner().invoke(app, wrong)
        assert usage.exit_code == 2
        assert "wtal bench ablation: error: the following arguments are required" in usage.stderr

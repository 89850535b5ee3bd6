"""Which run a command line means, and what is said where it means none or several."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wtal.cli import app
from wtal.errors import WtalError
from wtal.runs import DETECTIONS_FILE, check_run, is_run, runs_of


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Seeds 2 and 10, trained and localized."""
    for seed in (10, 2):
        folder = tmp_path / "sweep" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        (folder / DETECTIONS_FILE).write_text('{"results": {}}')
    return tmp_path / "sweep"


def test_a_sweep_is_its_runs_by_number_and_a_run_is_itself(sweep: Path) -> None:
    assert [run.name for run in runs_of(sweep)] == ["seed-2", "seed-10"]
    assert runs_of(sweep / "seed-2") == [sweep / "seed-2"]
    assert is_run(sweep)
    assert not is_run(sweep.parent)


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "video_1", "-f", "store"),
        ("export", "--to", "csv"),
        ("report",),
        ("report", "--versus", "a=SWEEP", "--annotations", "a.json"),
    ],
)
def test_a_command_that_takes_one_run_names_one_of_a_sweep(
    sweep: Path, words: tuple[str, ...]
) -> None:
    first = sweep / "seed-2" if "--versus" in words else sweep
    options = [word.replace("SWEEP", str(sweep)) for word in words[1:]]
    said = CliRunner().invoke(app, [words[0], str(first), *options])
    assert said.exit_code == 1
    assert f"{sweep} holds 2 runs; name one of them, such as {sweep / 'seed-2'}." in said.output


@pytest.mark.parametrize("option", [("--plots", "plots"), ("--compare-protocols",)])
def test_a_table_of_one_result_names_one_of_a_sweep(sweep: Path, option: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, ["eval", str(sweep), "annotations.json", *option])
    one = sweep / "seed-2" / DETECTIONS_FILE
    assert said.exit_code == 1
    assert f"{option[0]} takes one result file of the 2; name one of them, such as {one}." in (
        said.output
    )


def test_what_is_no_run_and_what_is_not_there_differ(tmp_path: Path) -> None:
    with pytest.raises(WtalError, match=r"is no run folder: it has no config\.yaml"):
        check_run(tmp_path)
    with pytest.raises(WtalError, match="nope does not exist; expected a run folder"):
        check_run(tmp_path / "nope")

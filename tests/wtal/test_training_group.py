"""`wtal train` under torchrun: who speaks, and how all end when one does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import distributed

from tests.group import ROOT
from tests.synthetic import make_store
from wtal.checkpoint import MODEL_FILE, STATE_FILE, load_state

PATIENCE_S = 120
WORDS = ["-o", "model.hidden_dim=8", "-o", "train.batch_size=4", "-o", "train.lr=1e-3"]
ENDLESS = ["-o", "train.steps=1000000", "-o", "train.checkpoint_every=5"]
Data = tuple[Path, Path, Path]

pytestmark = pytest.mark.slow

DCC = ["dcc.contrast=bank", "dcc.warmup=0.2", "cluster.every_epochs=1", "cluster.k=4"]
CLUSTERING = [word for text in DCC for word in ("-o", text)]

# SIGTERM comes to one process in the step whose number is the first word.
STOPPING = """
import os, signal, sys
from unittest.mock import patch
from wtal import training
from wtal.cli import main
stop = int(sys.argv.pop(1))
real = training.train_step
def step(*args, **options):
    if options["step"] == stop and options["part"].peers.rank == options["part"].peers.size - 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return real(*args, **options)
with patch.object(training, "train_step", step):
    main()
"""

# The second process fails in its third step.
FAILING = """
import sys
from unittest.mock import patch
from wtal import training
from wtal.errors import WtalError
from wtal.cli import main
real = training.train_step
def step(*args, **options):
    if options["step"] == 2 and options["part"].peers.rank == 1:
        raise WtalError("The disk is full here.")
    return real(*args, **options)
with patch.object(training, "train_step", step):
    main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_store(tmp_path_factory.mktemp("data"))


class Group:
    """Two processes of one training, as torchrun starts them; the store they meet at is here."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        self.said = [folder / f"said-{rank}" for rank in range(2)]
        self.processes = [self._start(command, rank) for rank in range(2)]

    def _start(self, command: Sequence[str], rank: int) -> "subprocess.Popen[bytes]":
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": self.store.port}
        environment = {
            **os.environ,
            **{name: str(value) for name, value in place.items()},
            "MASTER_ADDR": "127.0.0.1",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
        }
        with self.said[rank].open("w") as said:
            return subprocess.Popen(
                [sys.executable, *command], env=environment, cwd=ROOT, stdout=said, stderr=said
            )

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def ended(self) -> tuple[list[int], list[str]]:
        """Exit codes and what each said, after all have ended."""
        codes = [process.wait(PATIENCE_S) for process in self.processes]
        return codes, [said.read_text() for said in self.said]


def command(data: Data, out: Path, *words: str) -> list[str]:
    """Arguments of `wtal train`, with an empty config file beside the run."""
    features, tags, _ = data
    config = out.with_suffix(".yaml")
    config.write_text("")
    return [
        "train",
        str(config),
        "-f",
        str(features),
        "--tags",
        str(tags),
        "--out",
        str(out),
        *WORDS,
        *words,
    ]


def wait_for(path: Path, group: Group) -> None:
    """Until a file is there."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, [said.read_text() for said in group.said]
        time.sleep(0.05)


def torchrun(*words: str) -> list[str]:
    """The command that starts two processes of `wtal WORDS`."""
    run = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    return [sys.executable, *run, "-m", "wtal", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_two_processes_then_one_then_two_end_where_one_alone_ends(
    data: Data, tmp_path: Path
) -> None:
    steps = [*CLUSTERING, "-o", "train.steps=12", "--device", "cpu"]
    words = command(data, tmp_path / "r", *steps)
    with Group(tmp_path, ["-c", STOPPING, "3", *words]) as group:
        assert group.ended()[0] == [1, 1]
    assert load_state(tmp_path / "r" / STATE_FILE).step == 4
    middle = [sys.executable, "-c", STOPPING, "7", *words, "--resume"]
    assert subprocess.run(middle, cwd=ROOT, env=environment(), check=False).returncode == 1
    assert load_state(tmp_path / "r" / STATE_FILE).step == 8
    with Group(tmp_path, ["-m", "wtal", *words, "--resume"]) as group:
        codes, said = group.ended()
    assert codes == [0, 0], said
    alone = command(data, tmp_path / "alone", *steps, "-q")
    subprocess.run([sys.executable, "-m", "wtal", *alone], cwd=ROOT, check=True, env=environment())
    ours, theirs = (load_state(tmp_path / name / STATE_FILE) for name in ("alone", "r"))
    assert ours.step == theirs.step == 12
    assert ours.contrast.keys() == theirs.contrast.keys() >= {"bank/vectors", "clusters/members/0"}
    for name, tensor in {**ours.model, **ours.contrast}.items():
        other = theirs.model.get(name, theirs.contrast.get(name))
        assert other is not None
        assert (tensor.double() - other.double()).abs().max() <= 1e-6, name


def test_ctrl_c_under_torchrun_leaves_a_checkpoint_that_goes_on(data: Data, tmp_path: Path) -> None:
    # Not endless: torchrun starts them in sessions of their own, which no signal from here reaches.
    long = ["-o", "train.steps=5000", "-o", "train.checkpoint_every=5"]
    words = command(data, tmp_path / "r", *long)
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(
            torchrun(*words),
            env=environment(),
            cwd=ROOT,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "r" / STATE_FILE).exists():
            assert time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(60) != 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    text = (tmp_path / "said").read_text()
    assert "stopped after" in text
    step = load_state(tmp_path / "r" / STATE_FILE).step
    assert step > 0
    assert f"stopped after {step} " in text


def test_commands_that_processes_do_not_share_are_refused_under_torchrun(tmp_path: Path) -> None:
    words = ["localize", str(tmp_path), "-f", str(tmp_path)]
    done = subprocess.run(
        torchrun(*words), env=environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.count("error: torchrun starts several processes") == 1


def test_torchrun_trains_one_network_and_one_process_speaks(data: Data, tmp_path: Path) -> None:
    words = command(data, tmp_path / "r", "-o", "train.steps=3", "--device", "cpu")
    done = subprocess.run(
        torchrun(*words),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained after 3 steps") == 1
    alone = command(data, tmp_path / "alone", "-o", "train.steps=3", "--device", "cpu", "-q")
    subprocess.run([sys.executable, "-m", "wtal", *alone], cwd=ROOT, check=True, env=os.environ)
    ours, theirs = (load_file(tmp_path / name / MODEL_FILE) for name in ("alone", "r"))
    assert all((ours[name] - theirs[name]).abs().max() <= 1e-6 for name in ours)


def test_a_signal_to_one_process_ends_both_with_a_checkpoint(data: Data, tmp_path: Path) -> None:
    words = command(data, tmp_path / "r", *ENDLESS)
    with Group(tmp_path, ["-m", "wtal", *words]) as group:
        wait_for(tmp_path / "r" / STATE_FILE, group)
        group.processes[1].send_signal(signal.SIGTERM)
        codes, said = group.ended()
    assert codes == [1, 1], said
    assert "stopped after" in said[0]
    assert "--resume" in said[0]
    assert load_state(tmp_path / "r" / STATE_FILE).step > 0


def test_a_process_that_is_killed_ends_the_other_with_a_sentence(
    data: Data, tmp_path: Path
) -> None:
    words = command(data, tmp_path / "r", *ENDLESS)
    with Group(tmp_path, ["-m", "wtal", *words]) as group:
        wait_for(tmp_path / "r" / STATE_FILE, group)
        group.processes[1].kill()
        codes, said = group.ended()
    assert codes == [1, -signal.SIGKILL]
    assert "Another process of this run was killed" in said[0]
    assert "Traceback" not in said[0]
    load_state(tmp_path / "r" / STATE_FILE)


def test_the_process_that_fails_says_why_and_the_other_ends_in_silence(
    data: Data, tmp_path: Path
) -> None:
    words = command(data, tmp_path / "r", "-o", "train.steps=9", "-q")
    with Group(tmp_path, ["-c", FAILING, *words]) as group:
        codes, said = group.ended()
    assert codes == [1, 1]
    assert said == ["", "error: The disk is full here.\n"]


def test_what_is_wrong_for_all_is_said_once(data: Data, tmp_path: Path) -> None:
    words = command(data, tmp_path / "r", "-q")
    words[words.index("--tags") + 1] = str(tmp_path / "gone.csv")
    with Group(tmp_path, ["-m", "wtal", *words]) as group:
        codes, said = group.ended()
    assert codes == [1, 1]
    assert sorted(text.count("gone.csv") for text in said) == [0, 1]

"""Shell completion: what the shells are given, and what bash completes with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from wtal.cli import app

# The completion of a shell calls `wtal`, which need not be installed where the tests run.
PROGRAM = "import sys; sys.argv[0] = 'wtal'; from wtal.cli import main; main()"
WTAL = f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}" "$@"\n'


def shell_command(folder: Path) -> dict[str, str]:
    """An environment in which `wtal` is the package that is tested."""
    command = folder / "wtal"
    command.write_text(WTAL)
    command.chmod(0o755)
    paths = [path for path in sys.path if path]
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(folder),
    }


def script(shell: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["wtal"],
        env={**environment, "_WTAL_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def completed(lines: list[str], folder: Path) -> list[set[str]]:
    """What bash offers for each line, the last word of which is being typed."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("There is no bash here.")
    environment = shell_command(folder)
    calls = [
        f"COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); "
        '_wtal_completion wtal; echo "${COMPREPLY[*]}"'
        for line in lines
    ]
    done = subprocess.run(
        [bash, "-c", "\n".join([script("bash", environment), *calls])],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    nothing, begun, option, elsewhere = completed(
        ['wtal ""', "wtal ex", "wtal train --se", "wtal export runs/a --to"], tmp_path
    )
    assert nothing == set(get_command(app).commands)  # type: ignore[attr-defined]
    assert begun == {"extract", "export"}
    assert option == {"--set", "--seeds"}
    assert elsewhere == {"--to", "--top"}


@pytest.mark.parametrize(
    ("shell", "sign"),
    [
        ("bash", "complete -o default"),
        ("zsh", "#compdef wtal"),
        ("fish", "complete --command wtal"),
    ],
)
def test_every_shell_gets_its_script(shell: str, sign: str, tmp_path: Path) -> None:
    assert sign in script(shell, shell_command(tmp_path))


def test_installing_for_bash_writes_into_the_home_folder_alone(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("There is no bash here.")
    environment = shell_command(tmp_path)
    # Not the last command of the shell, which bash would become instead of starting it.
    install = [bash, "-c", "wtal --install-completion; exit $?"]
    done = subprocess.run(install, env=environment, capture_output=True, text=True, check=True)
    written = tmp_path / ".bash_completions" / "wtal.sh"
    assert str(written) in done.stdout
    assert "_wtal_completion" in written.read_text()
    assert str(written) in (tmp_path / ".bashrc").read_text()

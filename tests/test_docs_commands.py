"""Every command that a page shows is understood, and messages that it quotes are the program's."""

import ast
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from tests.documents import FENCED, PAGES, ROOT, name, prose
from wtal.bench.ablation import parser as ablation_parser
from wtal.cli import app
from wtal_eval.command import make_parser as eval_parser
from wtal_eval.retrieval.__main__ import make_parser as retrieval_parser
from wtal_features.__main__ import make_parser as features_parser

# Commands there were right on their day, and may have changed since.
HISTORY = {"docs/log.md", "CHANGELOG.md"}
TODAY = [page for page in PAGES if name(page) not in HISTORY and "decisions" not in page.parts]
MODULES = {
    "wtal_eval": lambda: eval_parser("wtal eval"),
    "wtal_eval.retrieval": retrieval_parser,
    "wtal_features": features_parser,
}
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
WHOLE_PROGRAM = {"-h", "--help", "--version", "--install-completion", "--show-completion"}


def lines(page: Path) -> Iterator[str]:
    """Lines of the fenced blocks of a page that call something of the project."""
    for block in FENCED.finditer(page.read_text(encoding="utf-8")):
        if block["kind"].strip() in {"", "bash", "sh"}:
            joined = re.sub(r"\\\n\s*", " ", block["code"])
            yield from re.findall(r"^(?:wtal|make|python) .*", joined, re.MULTILINE)


def mentions(page: Path) -> Iterator[str]:
    """Commands amid the text of a page."""
    yield from re.findall(r"`(wtal [a-z-][^`\n]*)`", prose(page))


SHOWN = [(name(page), line) for page in TODAY for line in lines(page)]
MENTIONED = [(name(page), line) for page in TODAY for line in mentions(page)]


def test_there_are_commands_to_check() -> None:
    assert len(SHOWN) > 60
    assert len(MENTIONED) > 60


@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN}))
def test_the_commands_that_a_page_shows_are_understood(page: str) -> None:
    for here, line in SHOWN:
        if here == page:
            understand(shlex.split(line, comments=True))


@pytest.mark.parametrize("page", sorted({page for page, _ in MENTIONED}))
def test_the_commands_that_a_text_mentions_exist_with_their_options(page: str) -> None:
    for here, line in MENTIONED:
        if here == page:
            check_options(line.split())


def understand(words: list[str]) -> None:
    """Parse a whole line, without doing what it says."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert words[1] in targets, words
    elif words[0] == "python" and words[1] == "-m":
        if words[2] in MODULES and not any("|" in word for word in words):
            MODULES[words[2]]().parse_args([word for word in words[3:] if word != "[MORE"])
    elif words[0] == "python":
        assert words[1].startswith("-") or (ROOT / words[1]).is_file(), words
    elif {"...", "--help", "$A"} & set(words) or words[1].startswith("-"):
        check_options(words)
    elif words[1] == "eval" or words[1:3] == ["bench", "ablation"]:
        own, rest = (
            (eval_parser("wtal eval"), words[2:])
            if words[1] == "eval"
            else (
                ablation_parser(),
                words[3:],
            )
        )
        own.parse_args(rest)
    else:
        command = COMMANDS[words[1]]
        command.make_context(words[1], words[2:])


def check_options(words: list[str]) -> None:
    """The command is there, and so is every option that is named."""
    named = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
    if words[1].startswith("-"):
        assert named <= WHOLE_PROGRAM, words
        return
    for command in words[1].rstrip(",;").split("|"):
        assert named <= options_of(command, words[2:]), words


def options_of(command: str, rest: list[str]) -> set[str]:
    if command == "eval":
        return strings(eval_parser("wtal eval"))
    if [command, *rest[:1]] == ["bench", "ablation"]:
        return strings(ablation_parser())
    found = COMMANDS[command]
    own = {word for each in found.params for word in (*each.opts, *each.secondary_opts)}
    return own | {"-h", "--help"}


def strings(parser: ArgumentParser) -> set[str]:
    """The options that a help lists: each begins a line, perhaps with its short form before it."""
    listed = re.findall(r"^  (-\S.*?)(?:  |$)", parser.format_help(), re.MULTILINE)
    return {word for line in listed for word in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)}


def test_a_wrong_command_is_noticed() -> None:
    wrong = ("wtal trian", "wtal train --feature s", "wtal eval --tiuo", "wtal bench ablation --lo")
    for line in (*wrong, "make tea", "python benchmarks/no.py"):
        with pytest.raises((AssertionError, KeyError)):
            check_options(line.split()) if line.startswith("wtal") else understand(line.split())


def texts() -> Iterator[str]:
    """Every text of the sources, cut at the values that are put in."""
    for room in ("wtal", "features/wtal_features", "eval/wtal_eval"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_message_that_is_explained_is_one_of_the_program() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(quoted) > 40
    sources = "\0".join(texts())
    others = {"No such command", "No such option:", "Killed"}  # of typer and the system
    pieces = {piece.strip() for text in quoted for piece in text.split("…")}
    assert not {piece for piece in pieces - others if piece not in sources}

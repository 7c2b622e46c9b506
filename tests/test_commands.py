"""Every command in a document is run as it stands there, or the document says why not.

A fenced block of `sh` or `console` (the lines after `$ `) runs in bash, below a directory that has
what a reader would have: the shipped policies and settings, a recording, two byte streams, and what
the blocks before it on the page made. Where a console shows output, the command must print it. A
block of Rego or TOML whose first line is `# NAME` is the file NAME.

What cannot run here has a marker above it, `<!-- not run: why -->`. The commands in it are still
held to the command line: each command and option that it uses exists and takes what it is given.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from busted.cli.main import main
from tests.requirements import ROOT
from tests.test_docs import DOCUMENTS, targets

# The chart's and the image's pages are documents, too.
PAGES = sorted([*DOCUMENTS, *(ROOT / "deploy").rglob("*.md")])
RECORDING = ROOT / "tests/golden/anthropic_tools.rec"
# None takes more than some seconds here.
PATIENCE_SECONDS = 120

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_COMMANDS = ("sh", "console")
_FILES = ("rego", "toml")
_FILE = re.compile(r"# ([\w.-]+\.(?:rego|toml))\n")
_ENDS_A_COMMAND = {"|", "||", "&&", ";", "&"}


class Block(msgspec.Struct, frozen=True):
    """A fenced block of a document, and why it is not run, if it is not."""

    kind: str
    text: str
    why: str | None


class Step(msgspec.Struct, frozen=True):
    """A command line of a block, and what a document shows of its output."""

    command: str
    output: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of commands and files, in their order."""
    found = (Block(m["kind"], m["text"], m["why"]) for m in _BLOCK.finditer(page.read_text()))
    return [block for block in found if block.kind in (*_COMMANDS, *_FILES)]


def steps(block: Block) -> list[Step]:
    """What is to be run of a block: all of it in one go, or each command of a console."""
    if block.kind == "sh":
        return [Step(block.text, "")]
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    return [Step(*part.partition("\n")[::2]) for part in parts]


def pages_with(run: bool) -> list[Path]:
    return [
        page
        for page in PAGES
        if any(b.kind in _COMMANDS and (b.why is None) == run for b in blocks(page))
    ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what a reader has."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copyfile(RECORDING, tmp_path / "talk.rec")
    (tmp_path / "sent.bin").write_bytes(b"GET / HTTP/1.1\r\nhost: api.openai.com\r\n\r\n")
    (tmp_path / "got.bin").write_bytes(b"HTTP/1.1 204 No Content\r\n\r\n")
    programs = tmp_path / ".bin"
    programs.mkdir()
    (programs / "busted").write_text(f'#!/bin/sh\nexec {sys.executable} -m busted.cli.main "$@"\n')
    (programs / "busted").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("page", pages_with(run=True), ids=lambda path: path.stem)
def test_every_command_of_a_document_runs(page: Path, place: Path) -> None:
    environment = {
        "HOME": str(place),
        "LANG": "C.UTF-8",
        "PATH": f"{place}/.bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "STATE_DIRECTORY": str(place),
    }
    for block in blocks(page):
        if block.kind in _FILES:
            if name := _FILE.match(block.text):
                (place / name[1]).write_text(block.text)
            continue
        for step in steps(block) if block.why is None else ():
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", step.command],
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            assert done.returncode == 0, f"{step.command}\n{done.stdout}{done.stderr}"
            assert step.output in done.stdout, f"{step.command}\n{done.stdout}"


def commands(text: str) -> list[list[str]]:
    """The words of every `busted ...` in a block, as a shell would split them."""
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _ENDS_A_COMMAND:
                words.append(word)
                continue
            if words[:1] == ["busted"]:
                found.append(words[1:])
            words = []
    return found


@pytest.mark.parametrize("page", pages_with(run=False), ids=lambda path: path.stem)
def test_what_is_not_run_is_what_the_command_line_takes(page: Path) -> None:
    for block in blocks(page):
        if block.kind not in _COMMANDS or block.why is None:
            continue
        assert set(re.findall(r"^(?:sudo )?make ([a-z-]+)", block.text, re.M)) <= targets().keys()
        for words in commands(block.text):
            command: click.Command = main
            while isinstance(command, click.Group):
                found = command.get_command(click.Context(command), words[0])
                assert found is not None, words
                command, words = found, words[1:]
            command.make_parser(click.Context(command)).parse_args(words)


def test_a_reason_tells_more_than_that_there_is_none() -> None:
    reasons = [block.why for page in PAGES for block in blocks(page) if block.why is not None]

    assert reasons
    assert all(len(reason.split()) >= 2 for reason in reasons)


def test_a_marker_stands_right_above_what_it_is_about() -> None:
    for page in PAGES:
        told = len(re.findall("^<!-- not run: ", page.read_text(), re.M))
        assert told == sum(block.why is not None for block in blocks(page)), page


@pytest.mark.parametrize("kind", ["bash", "shell", "shell-session"])
def test_commands_stand_in_blocks_of_one_of_two_kinds(kind: str) -> None:
    assert not [page.name for page in PAGES if f"```{kind}\n" in page.read_text()]

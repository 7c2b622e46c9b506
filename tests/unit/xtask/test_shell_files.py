"""Manual pages and completions say what the command line takes, and work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from busted.cli.main import CANNOT_RUN, COMMANDS, FAILED, INTERRUPTED, USAGE
from tests.requirements import ROOT, require
from xtask import shell_files


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix with all files, and a `busted` in its bin."""
    prefix = tmp_path_factory.mktemp("prefix")
    assert shell_files.main([str(prefix)]) == 0
    program = prefix / "bin/busted"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m busted.cli.main "$@"\n')
    program.chmod(0o755)
    return prefix


def complete(prefix: Path, *words: str) -> set[str]:
    """What bash offers for the last word, by the script that it would load."""
    script = prefix / shell_files.COMPLETIONS["bash"]
    # What readline does when somebody presses the key, but for the key.
    ask = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '$(complete -p busted | grep -oE "_busted[a-z_]*completion") busted; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", ask, str(script), "busted", *words],
        env={
            "PATH": f"{prefix}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "LANG": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.split())


def test_bash_completes_commands(prefix: Path) -> None:
    assert complete(prefix, "") == COMMANDS.keys()
    assert complete(prefix, "mon") == {"monitor"}
    assert complete(prefix, "policy", "re") == {"replay"}


def test_bash_completes_options_and_what_they_take(prefix: Path) -> None:
    assert {"--policy", "--pid"} <= complete(prefix, "monitor", "--p")
    assert complete(prefix, "monitor", "--content", "re") == {"redacted"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_ask_busted(prefix: Path, shell: str) -> None:
    text = (prefix / shell_files.COMPLETIONS[shell]).read_text()

    assert f"{shell_files.COMPLETE_VARIABLE}={shell}_complete" in text


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_busted_answers_other_shells(prefix: Path, shell: str) -> None:
    done = subprocess.run(
        [prefix / "bin/busted"],
        env={
            "PYTHONPATH": str(ROOT / "src"),
            shell_files.COMPLETE_VARIABLE: f"{shell}_complete",
            "COMP_WORDS": "busted repl",
            "COMP_CWORD": {"zsh": "1", "fish": "repl"}[shell],
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert "replay" in done.stdout


def test_every_command_has_a_page_with_its_options() -> None:
    pages = shell_files.files()

    for context in shell_files.contexts():
        page = pages[f"{shell_files.PAGES}/{context.command_path.replace(' ', '-')}.1"]
        options = [o for p in context.command.params for o in p.opts if o.startswith("--")]
        assert [o for o in options if o.replace("-", "\\-") not in page] == []


def test_the_pages_are_without_a_mistake(prefix: Path) -> None:
    require("groff")
    pages = sorted((prefix / shell_files.PAGES).iterdir())
    # All warnings, and no output.
    command = ["groff", "-man", "-ww", "-z", "-Tutf8", *map(str, pages)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert len(pages) > len(COMMANDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_shows_what_was_written(prefix: Path) -> None:
    require("groff")
    page = prefix / shell_files.PAGES / "busted-monitor.1"
    # Without the strokes that terminals make bold of.
    command = ["groff", "-man", "-Tutf8", "-P-c", "-P-b", "-P-u", str(page)]
    shown = subprocess.check_output(command, text=True)

    assert "BUSTED-MONITOR(1)" in shown
    assert "--content [none|redacted|full]" in shown
    assert "cannot run here" in shown


@pytest.mark.parametrize(
    ("text", "escaped"), [("a-b", "a\\-b"), ("\\n", "\\en"), (".x", "\\&.x"), ("'x", "\\&'x")]
)
def test_text_means_itself(text: str, escaped: str) -> None:
    assert shell_files._text(text) == escaped


def test_exit_codes_are_those_of_the_command() -> None:
    codes = {0, FAILED, USAGE, CANNOT_RUN, INTERRUPTED}

    assert shell_files.EXIT_CODES.keys() == {str(code) for code in codes}

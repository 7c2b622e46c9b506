import importlib
import logging
import signal

import click
import pytest
from click.testing import CliRunner
from hpack import Decoder, Encoder

from busted import __version__
from busted.agent.recording import RecordingError
from busted.cli import version
from busted.cli.main import COMMANDS, EXIT_CODES, main
from busted.kernel.features import CannotRun
from tests.unit.cli.command import DEADLINE, python, run, start


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_exists_and_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_error_in_the_table_exists(name: str) -> None:
    module, _, error = name.rpartition(".")

    assert issubclass(getattr(importlib.import_module(module), error), Exception)


def test_headers_are_never_logged_whatever_the_level(caplog: pytest.LogCaptureFixture) -> None:
    block = Encoder().encode([("authorization", "a secret")], huffman=False)
    CliRunner().invoke(main, ["version"])
    with caplog.at_level(logging.DEBUG):
        (field,) = Decoder().decode(block, raw=True)

    assert field[1] == b"a secret"
    assert "secret" not in caplog.text


def test_version_prints_the_version_and_loads_nothing_else() -> None:
    code = (
        "import sys\n"
        "from busted.cli.main import main\n"
        "try: main(['version'])\n"
        "finally: print(*(name for name in sys.modules if name.startswith(('busted', 'msgspec'))))"
    )

    printed = python(code).stdout.decode()

    assert printed.splitlines() == [
        f"busted {__version__}",
        "busted busted.cli busted.cli.main busted.cli.version",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "busted: Missing command. See busted --help."),
        (["moniter"], "busted: No such command 'moniter'."),
        (["version", "--loud"], "busted: No such option"),
        (["replay"], "busted: Missing argument 'FILE'. See busted replay --help."),
        (
            ["replay", "x", "--format", "xml"],
            "busted: Invalid value for '--format': 'xml' is not one of",
        ),
        (
            ["replay", "x", "--content", "some"],
            "busted: Invalid value for '--content': 'some' is not one of",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: list[str], message: str) -> None:
    result = CliRunner().invoke(main, args, prog_name="busted")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecordingError("a recording\n failed"), 1),
        (CannotRun("no root. Use sudo."), 3),
        (click.ClickException("click's own"), 1),
    ],
)
def test_an_error_for_the_operator_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(version.version, "callback", fail)
    result = CliRunner().invoke(main, ["version"])

    assert result.exit_code == code
    assert result.stderr == f"busted: {' '.join(str(error).split())}\n"


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(version.version, "callback", fail)
    result = CliRunner().invoke(main, ["version"])

    assert isinstance(result.exception, LookupError)


def test_ctrl_c_exits_with_130_and_no_traceback() -> None:
    with start("classify") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a bad line is answered, so we know that it runs\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b'{"error"')

        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)

    assert process.returncode == 130
    assert errors.strip() == b""


def test_a_reader_that_left_is_no_error() -> None:
    with start("--help") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
        process.wait(DEADLINE)

    assert run("version").stdout == f"busted {__version__}\n".encode()

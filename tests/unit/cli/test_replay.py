import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from busted.agent.recording import Frame, Header
from busted.agent.replay import Replay
from busted.cli.main import main
from busted.events import to_json
from tests import recordings
from tests.recordings import ORIGIN, exchange, record
from tests.unit.cli.command import DEADLINE, run, start

PROMPT, ANSWER = "What is the capital of France?", "Paris, naïve friend."
SECRET = "sk-" + "a1B2c3D4e5" * 4


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return record(tmp_path / "a.recording", exchange(PROMPT, ANSWER))


def replay(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["replay", *map(str, args)], prog_name="busted")
    return result.exit_code, result.stdout, result.stderr


def test_json_prints_the_events_of_the_recording(recording: Path) -> None:
    code, printed, _ = replay(recording, "--format", "json", "--content", "full")

    expected = Replay(Header(origin=ORIGIN)).events(exchange(PROMPT, ANSWER))
    assert code == 0
    assert printed.encode() == b"".join(to_json(event) + b"\n" for event in expected)


@pytest.mark.parametrize("format", ["text", "verbose"])
def test_people_can_read_prompt_and_answer(recording: Path, format: str) -> None:
    code, printed, errors = replay(recording, "--format", format)

    assert (code, errors) == (0, "")
    assert f"python3({recordings.PID}) >>> openai gpt-4o" in printed
    assert PROMPT in printed
    assert ANSWER in printed


@pytest.mark.parametrize("format", ["text", "verbose", "json"])
@pytest.mark.parametrize("content", ["redacted", "none", None])
def test_a_planted_secret_never_appears_below_full(
    tmp_path: Path, format: str, content: str | None
) -> None:
    argv = ("curl", "-H", f"Authorization: Bearer {SECRET}")
    frames = exchange(f"use {SECRET}", f"I used\n{SECRET}", argv)
    path = record(tmp_path / "a.recording", frames)
    level = ["--content", content] if content else []

    result = run("replay", path, "--format", format, *level)

    assert result.returncode == 0
    assert result.stdout
    assert SECRET.encode() not in result.stdout + result.stderr
    # The recording has it: what is shown at `full` shows that it could have appeared.
    assert SECRET.encode() in run("replay", path, "--format", format, "--content", "full").stdout


def test_content_none_shows_metadata_only(recording: Path) -> None:
    _, printed, _ = replay(recording, "--format", "json", "--content", "none")

    assert PROMPT not in printed
    assert ANSWER not in printed
    assert '"model":"gpt-4o"' in printed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "busted: cannot read {path}: No such file or directory\n"),
        (b"text\n", "busted: {path} is not a recording of `busted monitor --record`\n"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_code_1(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "a.recording"
    if content is not None:
        path.write_bytes(content)

    result = run("replay", path)

    assert result.returncode == 1
    assert result.stdout == b""
    assert result.stderr.decode() == message.format(path=path)


def test_damage_in_the_middle_is_told_after_what_came_before(recording: Path) -> None:
    recording.write_bytes(recording.read_bytes() + b"\x00\x00\x00\x00\x63")

    code, printed, errors = replay(recording)

    assert code == 1
    assert ANSWER in printed
    assert "damaged at offset" in errors
    assert errors.count("\n") == 1


def test_a_cut_end_is_told_and_the_rest_is_shown(recording: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:-1])

    code, printed, errors = replay(recording)

    assert code == 0
    assert ANSWER in printed
    assert errors == f"busted: {recording} was cut: its last frame is not whole\n"


def test_head_ends_it_quietly(tmp_path: Path) -> None:
    # More than a pipe holds, so that it must notice.
    frames: list[Frame] = [recordings.coverage() for _ in range(5000)]
    path = record(tmp_path / "a.recording", frames)

    with start("replay", path, "--format", "json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"schema":1')
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(DEADLINE)

    assert (process.returncode, errors) == (0, b"")


def test_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    frames: list[Frame] = [recordings.coverage() for _ in range(5000)]
    path = record(tmp_path / "a.recording", frames)

    printed = run("replay", path, "--format", "json").stdout

    assert len(printed.splitlines()) == 5000


@pytest.mark.needs("full device")
def test_a_full_disk_is_one_line_and_exit_code_1(recording: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = run("replay", recording, stdout=full)

    assert result.returncode == 1
    message = "busted: cannot write to standard output: No space left on device\n"
    assert result.stderr.decode() == message


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "france.rego"
    path.write_text(
        'package busted\n\ndecision = "deny" { contains(input.action.user_message, "France") }\n\n'
        'reason = "no France" { decision == "deny" }\n'
    )
    return path


def test_events_carry_what_policy_says_of_all_that_was_said(recording: Path, policy: Path) -> None:
    code, printed, _ = replay(
        recording, "--policy", policy, "--format", "json", "--content", "none"
    )

    _, prompt, response = (json.loads(line) for line in printed.splitlines())
    assert code == 0
    assert (prompt["policy"]["decision"], prompt["policy"]["reasons"]) == ("deny", ["no France"])
    assert response["policy"]["decision"] == "allow"
    assert "France" not in json.dumps(prompt["action"])


def test_people_see_what_is_denied_and_why_on_its_line(recording: Path, policy: Path) -> None:
    _, printed, _ = replay(recording, "--policy", policy)

    assert "=> deny no France" in " ".join(printed.split())
    assert printed.count("=>") == 1


def test_a_decision_for_errors_without_a_policy_is_a_usage_error(recording: Path) -> None:
    assert replay(recording, "--on-error", "deny")[0] == 2

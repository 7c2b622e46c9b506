import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier import Classification
from busted.cli import classify
from busted.cli.main import main
from tests import recordings
from tests.unit.cli.command import DEADLINE, run, start

PROMPT, ANSWER = "What is the capital of France?", "Paris, naïve friend."
SECRET = "sk-" + "a1B2c3D4e5" * 4


def line(payload: bytes, direction: str = "write", **more: Any) -> bytes:
    asked = {"payload_b64": base64.b64encode(payload).decode(), "direction": direction, **more}
    return json.dumps(asked).encode() + b"\n"


def answers(input: bytes, *args: str) -> tuple[int, list[dict[str, Any]], str]:
    result = CliRunner().invoke(main, ["classify", *args], input=input, prog_name="busted")
    return result.exit_code, list(map(json.loads, result.stdout.splitlines())), result.stderr


def test_each_line_gets_an_answer_with_all_fields() -> None:
    request, response = recordings.request(PROMPT), recordings.response(ANSWER)
    input = line(request, id=1, sni="api.openai.com") + line(response, "read", id="b", sni=None)

    code, (asked, answered), errors = answers(input)

    assert (code, errors) == (0, "")
    assert asked.keys() == {"id", *Classification.__struct_fields__}
    assert (asked["id"], asked["interesting"], asked["content_class"]) == (1, True, "llm_request")
    assert asked["provider"] == "openai"
    assert asked["actions"][0]["user_message"] == PROMPT
    assert (answered["id"], answered["content_class"]) == ("b", "llm_response")


@pytest.mark.parametrize(
    ("bad", "answer"),
    [
        (b"nonsense\n", {}),
        (b"[]\n", {}),
        (b"\xff\xfe\n", {}),
        (b'{"id":1}\n', {"id": 1}),
        (line(b"x", "sideways", id=2), {"id": 2}),
        (line(b"x", id=3, sni=4), {"id": 3}),
        (b'{"id":"4","payload_b64":"%%%","direction":"write"}\n', {"id": "4"}),
        (b'{"id":5,"payload_b64":7,"direction":"write"}\n', {"id": 5}),
        (b'{"cut', {}),
        (b"[" * 100_000 + b"\n", {}),
    ],
)
def test_a_bad_line_is_answered_in_its_place_and_the_rest_goes_on(
    bad: bytes, answer: dict[str, Any]
) -> None:
    code, (first, second, third), errors = answers(
        line(b"hi", id="a") + bad.rstrip(b"\n") + b"\n" + line(b"hi", id="z")
    )

    assert code == 1
    assert (first["id"], third["id"]) == ("a", "z")
    assert isinstance(second.pop("error"), str)
    assert second == answer
    assert errors == "busted: 1 bad lines in the input; their answers say what is wrong\n"


@given(st.binary(max_size=300))
def test_any_input_gives_answers_and_no_traceback(input: bytes) -> None:
    code, found, _ = answers(input)

    assert code == int(any("error" in answer for answer in found))


def test_a_line_over_the_limit_is_a_bad_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify, "MAX_LINE_BYTES", 100)

    code, (first, second), _ = answers(line(b"x" * 1000, id=1) + line(b"hi", id=2))

    assert code == 1
    assert "error" in first
    assert second["id"] == 2


def test_blank_lines_and_an_empty_input_are_fine() -> None:
    assert answers(b"\n \n") == (0, [], "")


def test_an_answer_comes_at_once() -> None:
    with start("classify") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line(b"hi", id=1))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.communicate(timeout=DEADLINE)

    assert process.returncode == 0


@pytest.mark.parametrize("level", ["redacted", "none", None])
def test_a_planted_secret_never_appears_below_full(level: str | None) -> None:
    input = line(recordings.request(f"use {SECRET}"), id=1, sni="api.openai.com")
    args = ["--content", level] if level else []

    code, _, _ = answers(input, *args)
    printed = json.dumps(answers(input, *args)[1])

    assert code == 0
    assert SECRET not in printed
    assert SECRET in json.dumps(answers(input, "--content", "full")[1])


@pytest.fixture
def streams(tmp_path: Path) -> tuple[Path, Path]:
    written, read = tmp_path / "written", tmp_path / "read"
    written.write_bytes(recordings.request(PROMPT))
    read.write_bytes(recordings.response(ANSWER))
    return written, read


def test_two_files_give_the_events_of_their_connection(streams: tuple[Path, Path]) -> None:
    written, read = streams

    code, events, errors = answers(
        b"", "--write", str(written), "--read", str(read), "--sni", "api.openai.com"
    )

    assert (code, errors) == (0, "")
    prompt, response = (event["action"] for event in events)
    assert (prompt["type"], prompt["user_message"]) == ("Prompt", PROMPT)
    assert (response["type"], response["text"]) == ("Response", ANSWER)
    assert "latency" not in response
    assert {event["connection"]["sni"] for event in events} == {"api.openai.com"}


def test_the_content_level_holds_for_files(streams: tuple[Path, Path]) -> None:
    written, _ = streams

    _, events, _ = answers(b"", "--write", str(written), "--content", "none")

    assert PROMPT not in json.dumps(events)


def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    result = run("classify", "--write", tmp_path / "missing")

    assert result.returncode == 1
    assert result.stderr.decode() == (
        f"busted: cannot read {tmp_path / 'missing'}: No such file or directory\n"
    )


def test_a_server_name_without_files_is_wrong_usage() -> None:
    code, _, errors = answers(b"", "--sni", "api.openai.com")

    assert code == 2
    assert errors.startswith("busted: --sni goes with --write and --read")


def test_a_reader_that_left_ends_it_quietly() -> None:
    with start("classify") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(line(b"hi", id=1) * 10, timeout=DEADLINE)

    assert (process.returncode, errors) == (0, b"")

import base64
import json

import pytest

from busted.classifier.canaries import Canaries, Canary
from busted.classifier.direction import Direction
from busted.classifier.pii import Scanner
from busted.events import Action, CanaryDetected, Prompt, Response, ToolCall

VALUE = 'plum/77+violet="9" ü'
CANARY = Canary(name="payroll", value=VALUE)
KEY = b"k" * 16


def spellings(text: str) -> set[str]:
    return {one.spelling for one in Canaries([CANARY]).find(text.encode())}


def percent(value: str) -> str:
    return "".join(f"%{byte:02x}" for byte in value.encode())


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "x" * 50])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_canary_in_base64_is_found_wherever_it_stands(before: str, encode: object) -> None:
    assert callable(encode)
    text = encode(f"{before}{VALUE} and more".encode()).decode()

    assert spellings(f"see {text}") == {"base64"}


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        (VALUE, "plain"),
        (VALUE.encode().hex(), "hex"),
        (VALUE.encode().hex().upper(), "hex"),
        (percent(VALUE), "url"),
        (percent(VALUE).upper(), "url"),
        (VALUE.replace("/", "%2F").replace("+", "%2b"), "url"),
        (json.dumps(VALUE), "json"),
        (VALUE.replace("p", "\\u0070").replace("/", "\\/"), "json"),
    ],
)
def test_a_canary_is_found_however_it_is_spelled(text: str, spelling: str) -> None:
    assert spelling in spellings(f"it is: {text}.")


@pytest.mark.parametrize("text", ["", VALUE[:-1], VALUE.upper(), VALUE.encode().hex()[:-2], "plum"])
def test_what_is_no_canary_is_not_found(text: str) -> None:
    assert spellings(text) == set()


def test_without_canaries_nothing_is_found() -> None:
    assert Canaries([]).find(VALUE.encode()) == []


def actions(value: Action, direction: Direction) -> list[CanaryDetected]:
    told = Scanner(canaries=[CANARY]).examine(value, direction)
    return [action for action in told if isinstance(action, CanaryDetected)]


def test_a_canary_in_a_prompt_raises_an_event_that_does_not_hold_it() -> None:
    prompt = Prompt(api="x", user_message=f"look: {VALUE}", stream=False, bytes=1, truncated=False)

    assert actions(prompt, Direction.WRITE) == [
        CanaryDetected(
            name="payroll",
            direction="write",
            spelling="plain",
            where="Prompt",
            field="user_message",
        )
    ]


def test_a_canary_that_a_tool_is_asked_to_use_raises_an_event() -> None:
    call = ToolCall(name="curl", arguments=json.dumps({"data": VALUE}), truncated=False)

    assert [one.where for one in actions(call, Direction.READ)] == ["ToolCall"]


def test_a_canary_that_only_comes_in_raises_none() -> None:
    answer = Response(api="x", status=200, text=VALUE, stream=False, bytes=1, truncated=False)

    assert actions(answer, Direction.READ) == []


@pytest.mark.parametrize("text", [VALUE, VALUE.encode().hex(), percent(VALUE)])
def test_a_canary_is_redacted(text: str) -> None:
    shown = Scanner(canaries=[CANARY]).redact(f"it is {text}, yes", KEY, cut=False)

    assert text not in shown
    assert shown.startswith("it is <canary:")
    assert shown.endswith(">, yes")

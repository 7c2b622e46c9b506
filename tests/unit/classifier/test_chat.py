import pytest

from busted.classifier.chat import (
    MAX_NAME_CHARS,
    MAX_TOOLS,
    is_conversation,
    last_user_text,
    params_of,
    text_of,
    tools_of,
)
from busted.events import ChatMessage


def test_params_are_scalars_of_known_names() -> None:
    body: dict[str, object] = {
        "temperature": 0.5,
        "max_tokens": 10,
        "store": True,
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"a": "secret"}},
        "top_p": None,
        "n": [1],
        "seed": 2**70,
        "user": "secret",
        "metadata": {"type": "secret"},
        "instructions": "secret",
    }

    assert params_of(body) == {
        "temperature": 0.5,
        "max_tokens": 10,
        "store": True,
        "reasoning_effort": "high",
        "response_format": "json_schema",
    }


def test_tools_are_bounded_names() -> None:
    tools: list[object] = [{"name": "x" * 1000}] * (MAX_TOOLS + 5)

    names = tools_of({"tools": tools})

    assert len(names) == MAX_TOOLS
    assert set(names) == {"x" * MAX_NAME_CHARS}
    assert tools_of({"tools": "none"}) == ()


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ([{"role": "user", "content": "hi"}], True),
        ([{"role": "user"}], True),
        ([{"role": "user", "content": "hi"}, {}], True),
        ([{"role": "user", "content": "hi"}, {"ro": "us"}], True),
        ([{"role": "user"}, {"role": "user", "content": "hi"}], False),
        ([{"role": []}], False),
        ([{}], False),
        ([], False),
        ("user", False),
        (None, False),
    ],
)
def test_a_conversation_may_be_cut_but_only_at_its_end(turns: object, told: bool) -> None:
    assert is_conversation(turns) is told


def test_what_the_user_said_last_is_not_a_tools_result() -> None:
    turns = (
        ChatMessage(role="user", content="first"),
        ChatMessage(role="user", content="second"),
        ChatMessage(role="tool", content="result"),
    )

    assert last_user_text(turns) == "second"
    assert last_user_text(()) is None


def test_text_keeps_every_character_of_a_string() -> None:
    text = "a\r\n\t\x00é\U0001f600 " * 3

    assert text_of(text) == text
    assert text_of([{"type": "text", "text": text}]) == text

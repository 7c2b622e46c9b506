import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.agent.endpoint import Endpoint
from busted.agent.settings import (
    Address,
    FilePath,
    Flag,
    HostName,
    OneOf,
    Seconds,
    Setting,
    Text,
    Value,
    Values,
    Whole,
    WrongValue,
    literal,
    resolve,
)

SECONDS = Setting("hold.seconds", "--hold-seconds", Seconds(least=1, most=9), 5.0, "How long.")
NAMES = Setting("monitor.comm", "--comm", Text(), (), "Whom.", many=True)
STORE = Setting("a.store", "--the-store", FilePath(), None, "Where.")


def test_of_several_places_the_later_one_wins() -> None:
    in_file = {"hold.seconds": Value(2.0, "file", "f, line 1")}
    variable = {"BUSTED_HOLD_SECONDS": "3"}
    option = {"hold_seconds": 4.0}

    def holds(in_file: Values, variable: Mapping[str, str], option: Mapping[str, Any]) -> Value:
        return resolve([SECONDS], in_file, variable, option)["hold.seconds"]

    assert holds({}, {}, {}) == Value(5.0, "default", "")
    assert holds(in_file, {}, {}) == Value(2.0, "file", "f, line 1")
    assert holds(in_file, variable, {}) == Value(3.0, "environment", "BUSTED_HOLD_SECONDS")
    assert holds(in_file, variable, option) == Value(4.0, "option", "--hold-seconds")


def test_a_list_of_a_later_place_replaces_the_whole_list() -> None:
    in_file = {"monitor.comm": Value(("a", "b"), "file", "f")}

    variable = resolve([NAMES], in_file, {"BUSTED_COMM": "node 'Main Thread'"}, {})
    assert variable["monitor.comm"].value == ("node", "Main Thread")
    option = resolve([NAMES], in_file, {"BUSTED_COMM": "node"}, {"comm": ("c",)})
    assert option["monitor.comm"].value == ("c",)


def test_an_empty_variable_is_none_and_an_empty_option_takes_a_path_away() -> None:
    in_file = {"a.store": Value(Path("/x"), "file", "f")}

    assert resolve([STORE], in_file, {"BUSTED_THE_STORE": ""}, {})["a.store"].value == Path("/x")
    given = {"the_store": STORE.of_text("")}
    assert resolve([STORE], in_file, {}, given)["a.store"].value is None


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(WrongValue) as raised:
        resolve([SECONDS], {}, {"BUSTED_HOLD_SECONDS": "soon"}, {})
    assert str(raised.value) == (
        "the environment has a wrong BUSTED_HOLD_SECONDS: "
        "'soon' is not a number of seconds from 1 to 9"
    )
    with pytest.raises(WrongValue, match="is no list of words"):
        resolve([NAMES], {}, {"BUSTED_COMM": "'a"}, {})


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Flag(), "true", True),
        (Flag(), "On", True),
        (Flag(), "0", False),
        (Whole(least=1, most=5), "5", 5),
        (Seconds(least=0, most=5, included=False), "0.5", 0.5),
        (OneOf(words=("a", "b")), "b", "b"),
        (Text(), "x y", "x y"),
        (Text(), "", None),
        (FilePath(), "/x", Path("/x")),
        (Address(), "[::1]:80", Endpoint("::1", 80)),
        (Address(), "", None),
        (HostName(), "MCP.internal", "mcp.internal"),
        (HostName(), "*.tools.example.com", "*.tools.example.com"),
    ],
)
def test_a_text_stands_for_a_value(kind: Text, text: str, value: object) -> None:
    assert kind.of_text(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Flag(), "maybe"),
        (Whole(least=1, most=5), "6"),
        (Whole(least=1, most=5), "1.0"),
        (Whole(least=1, most=8, power_of_two=True), "3"),
        (Seconds(least=0, most=5, included=False), "0"),
        (Seconds(least=0, most=5), "nan"),
        (Seconds(least=0, most=5), "inf"),
        (OneOf(words=("a", "b")), ""),
        (Address(), "127.0.0.1:"),
        (Address(), "127.0.0.1:x"),
        (Address(), "127.0.0.1:65536"),
        (Address(), "example.com:80"),
        (HostName(), ""),
        (HostName(), "https://example.com"),
        (HostName(), "example.com:443"),
        (HostName(), "example.*"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_the_bounds(kind: Text, text: str) -> None:
    with pytest.raises(WrongValue) as raised:
        kind.of_text(text)
    assert str(raised.value).endswith(f" is not {kind.told}")


def test_a_value_is_told_short() -> None:
    with pytest.raises(WrongValue) as raised:
        OneOf(words=("a",)).of_value("x" * 10_000)
    assert len(str(raised.value)) < 100


@given(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.lists(st.text("ab\"'\\ \n"))
)
def test_a_literal_is_read_back_as_what_it_stands_for(value: object) -> None:
    assert tomllib.loads(f"x = {literal(value)}") == {"x": value}

"""The table of routes: what it lets pass, and the document that is made of it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from busted.events import to_json
from busted.sinks.history_query import GROUPS as HISTORY_GROUPS
from busted.sinks.history_query import Filter
from busted.ui.routes import FILTERS, GROUPS, PREFIX, ROUTES, Route, checked, openapi
from tests.unit.sinks.samples import ACTIONS, event


def route(path: str) -> Route:
    (found,) = [one for one in ROUTES if one.path == path]
    return found


def test_the_document_is_one_and_describes_every_route_with_its_parameters() -> None:
    document = msgspec.json.decode(msgspec.json.encode(openapi()))
    validate(document)
    assert document["paths"].keys() == {PREFIX + one.path for one in ROUTES}
    for one in ROUTES:
        told = document["paths"][PREFIX + one.path][one.method.lower()]
        assert [p["name"] for p in told["parameters"]] == [p.name for p in one.parameters]
        in_path = {p["name"] for p in told["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", one.path))
    names = [one.name for one in ROUTES]
    assert len(set(names)) == len(names)


def test_the_schema_of_an_event_fits_events() -> None:
    document = msgspec.json.decode(msgspec.json.encode(openapi()))
    schema = {"$ref": "#/components/schemas/Event", "components": document["components"]}
    for action in ACTIONS:
        OAS31Validator(schema).validate(msgspec.json.decode(to_json(event(action))))


def test_what_can_be_chosen_is_what_a_history_can_find() -> None:
    names = {field.name.removesuffix("_ns") for field in msgspec.structs.fields(Filter)}
    assert {one.name for one in FILTERS} == names
    assert GROUPS == HISTORY_GROUPS


def test_parameters_are_converted_and_have_defaults() -> None:
    query = {"since": "2026-11-22T14:00:00Z", "pid": "7", "text": "a b"}
    asked = checked(route("/events"), query, {})
    assert asked["since"] == 1795356000 * 10**9
    assert asked["pid"] == 7
    assert asked["limit"] == 100
    assert asked["text"] == "a b"
    assert asked["agent"] is None
    assert checked(route("/events/{id}"), {}, {"id": "x"}) == {"id": "x"}


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "red"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": "१"},
        {"pid": "9" * 30},
        {"since": "yesterday"},
        {"since": "9999-99-99"},
        {"decision": "maybe"},
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused(query: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(query))):
        checked(route("/events"), query, {})

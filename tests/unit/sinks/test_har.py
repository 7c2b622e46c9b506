from __future__ import annotations

import msgspec
import pytest

from busted.events import Event
from busted.sinks.har import Json, archive
from tests.unit.sinks.samples import PROMPT, RESPONSE, SOCKET, TOOL_CALL, event


def of_exchange(name: str, *events: Event) -> list[Event]:
    return [msgspec.structs.replace(one, exchange_id=name) for one in events]


def entries(events: list[Event]) -> list[Json]:
    made: Json = msgspec.json.decode(msgspec.json.encode(archive(events)))
    assert made["log"]["version"] == "1.2"
    found: list[Json] = made["log"]["entries"]
    return found


def test_a_prompt_and_its_answer_are_one_entry() -> None:
    connection = msgspec.structs.replace(SOCKET, sni="api.openai.com")
    prompt = msgspec.structs.replace(event(PROMPT), connection=connection)
    (entry,) = entries(of_exchange("1", prompt, event(TOOL_CALL), event(RESPONSE)))
    assert entry["startedDateTime"] == prompt.time
    assert entry["request"]["url"] == "https://api.openai.com/v1/chat/completions"
    assert "capital of France" in entry["request"]["postData"]["text"]
    assert entry["request"]["bodySize"] == PROMPT.bytes
    assert entry["response"]["status"] == 200
    assert "Paris" in entry["response"]["content"]["text"]
    assert entry["timings"]["wait"] == entry["time"] == pytest.approx(1360)
    assert entry["serverIPAddress"] == SOCKET.dst_ip


def test_exchanges_that_interleave_are_told_apart() -> None:
    first, second = (of_exchange(name, event(PROMPT), event(RESPONSE)) for name in "12")
    mixed = [first[0], second[0], second[1], first[1]]
    assert len(entries(mixed)) == 2
    assert all(entry["response"]["status"] == 200 for entry in entries(mixed))


def test_a_prompt_without_an_answer_is_an_entry_without_one() -> None:
    (entry,) = entries(of_exchange("1", event(PROMPT)))
    assert entry["response"]["status"] == 0
    assert entry["timings"]["wait"] == -1


def test_an_entry_has_what_the_format_asks_for() -> None:
    (entry,) = entries(of_exchange("1", event(PROMPT), event(RESPONSE)))
    common = {"httpVersion", "cookies", "headers", "headersSize", "bodySize"}
    assert entry.keys() >= {"startedDateTime", "time", "request", "response", "cache", "timings"}
    assert entry["request"].keys() >= common | {"method", "url", "queryString"}
    assert entry["response"].keys() >= common | {"status", "statusText", "content", "redirectURL"}

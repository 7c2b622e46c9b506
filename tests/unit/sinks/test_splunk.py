"""Against a receiver of ours that answers as the event collector's reference describes."""

import asyncio

import msgspec
import pytest
from aiohttp import web

from busted.events import to_json
from busted.sinks.channel import Item, Unavailable
from busted.sinks.heads import nanoseconds
from busted.sinks.splunk import SplunkChannel, SplunkSettings
from tests.unit.sinks.peers import http_server
from tests.unit.sinks.samples import PROMPT, event

TOKEN = "t" * 36
WHOLE = event(PROMPT)
BATCH = [Item(WHOLE.id, 0, to_json(WHOLE))] * 2


class Collector:
    """Takes events, and says so when it was asked `asked_for` times."""

    def __init__(self, asked_for: int = 2, first: dict[str, object] | None = None) -> None:
        self.events: list[dict[str, object]] = []
        self.asked_for, self.first = asked_for, first

    def __call__(self, request: web.Request, body: bytes) -> web.Response:
        assert request.headers["Authorization"] == f"Splunk {TOKEN}"
        assert request.headers["X-Splunk-Request-Channel"]
        if request.path == "/services/collector/event":
            self.events += [msgspec.json.decode(line) for line in body.splitlines()]
            return web.json_response(self.first or {"text": "Success", "code": 0, "ackId": 7})
        assert request.path == "/services/collector/ack"
        assert msgspec.json.decode(body) == {"acks": [7]}
        self.asked_for -= 1
        return web.json_response({"acks": {"7": self.asked_for <= 0}})


def send(collector: Collector, monkeypatch: pytest.MonkeyPatch, **settings: object) -> int:
    monkeypatch.setenv("SPLUNK_TOKEN", TOKEN)

    async def run() -> int:
        async with http_server(collector) as server:
            channel = SplunkChannel(
                server.url,
                SplunkSettings(token_env="SPLUNK_TOKEN", acknowledge_every=0.01, **settings),  # type: ignore[arg-type]
            )
            try:
                await channel.send(BATCH)
            finally:
                await channel.close()
            return len(server.requests)

    return asyncio.run(run())


def test_events_go_out_in_envelopes(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    assert send(collector, monkeypatch, index="agents") == 1

    assert collector.events[0] == {
        "time": round(nanoseconds(WHOLE.time) / 1e9, 3),
        "host": WHOLE.host,
        "source": "busted",
        "sourcetype": "busted:event",
        "event": msgspec.json.decode(to_json(WHOLE)),
        "index": "agents",
    }
    assert len(collector.events) == 2


def test_a_batch_is_taken_once_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(Collector(asked_for=3), monkeypatch, acknowledge=True) == 4


def test_what_is_not_acknowledged_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="not acknowledged"):
        send(Collector(10**6), monkeypatch, acknowledge=True, acknowledge_within=0.05)
    with pytest.raises(Unavailable, match="not enabled"):
        send(Collector(first={"code": 0}), monkeypatch, acknowledge=True)


@pytest.mark.parametrize("answer", [{"code": 9}, ["code"], "code"])
def test_another_answer_takes_nothing(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    with pytest.raises(Unavailable):
        send(Collector(first=answer), monkeypatch)  # type: ignore[arg-type]

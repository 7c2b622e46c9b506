"""Against a receiver of ours that answers as the bulk API's reference describes."""

import asyncio

import msgspec
import pytest
from aiohttp import web

from busted.events import to_json
from busted.sinks.channel import Item, Sent, Unavailable
from busted.sinks.delivery import Delivery
from busted.sinks.elasticsearch import ElasticsearchChannel, ElasticsearchSettings, outcome
from tests.unit.sinks.peers import QUICK, balance, http_server, put, running, until
from tests.unit.sinks.samples import PROMPT, event


class Index:
    """Creates documents as the bulk API does; of each first request the first is too much."""

    def __init__(self) -> None:
        self.documents: dict[str, object] = {}
        self.overloaded = 1

    def __call__(self, request: web.Request, body: bytes) -> web.Response:
        if request.path != "/_bulk" or request.content_type != "application/x-ndjson":
            return web.Response(status=404)
        assert body.endswith(b"\n")
        lines = [msgspec.json.decode(line) for line in body.splitlines()]
        results = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            id = action["create"]["_id"]
            assert "@timestamp" in document
            if self.overloaded:
                self.overloaded -= 1
                status = 429
            elif document["id"] == "event-3":
                status = 400
            elif id in self.documents:
                status = 409
            else:
                status = 201
                self.documents[id] = document
            results.append({"create": {"_index": action["create"]["_index"], "status": status}})
        return web.json_response({"took": 1, "errors": True, "items": results})


def test_each_event_is_created_once_and_what_is_refused_is_counted() -> None:
    index = Index()

    async def run() -> Delivery:
        async with http_server(index) as server:
            channel = ElasticsearchChannel(server.url, ElasticsearchSettings())
            delivery = Delivery("test", channel, QUICK)
            async with running(delivery):
                put(delivery, [0, 1, 2, 3, 1])  # one twice, as after a lost answer
                await until(lambda: not delivery.figures().waiting)
            return delivery

    delivery = asyncio.run(run())
    assert index.documents.keys() == {"event-0", "event-1", "event-2"}
    assert (delivery.figures().delivered, delivery.figures().lost) == (4, {"refused": 1})
    assert balance(delivery) == (5, 5)


def test_a_document_is_the_event_with_a_timestamp() -> None:
    index = Index()
    index.overloaded = 0
    whole = event(PROMPT)

    async def run() -> None:
        async with http_server(index) as server:
            channel = ElasticsearchChannel(server.url + "/", ElasticsearchSettings())
            await channel.send([Item(whole.id, 0, to_json(whole))])
            await channel.close()

    asyncio.run(run())
    expected = msgspec.to_builtins(whole) | {"@timestamp": whole.time}
    assert index.documents[whole.id] == msgspec.json.decode(msgspec.json.encode(expected))


@pytest.mark.parametrize(
    "answer", [{}, [], {"items": 3}, {"items": []}, {"items": [{"index": {}}]}]
)
def test_an_answer_of_something_else_takes_nothing(answer: object) -> None:
    with pytest.raises(Unavailable):
        outcome(answer, 1)


def test_what_was_taken_before_counts_as_taken() -> None:
    answer = {"items": [{"create": {"status": status}} for status in (201, 409, 503)]}

    assert outcome(answer, 3) == Sent(again=frozenset({2}), why="status 503")

"""Against a receiver of ours that takes what the push API's reference describes."""

import asyncio

import msgspec
from aiohttp import web

from busted.events import to_json
from busted.sinks.channel import Item
from busted.sinks.heads import nanoseconds
from busted.sinks.loki import LokiChannel, LokiSettings
from tests.unit.sinks.peers import http_server
from tests.unit.sinks.samples import PII, PROMPT, event


def test_events_are_pushed_in_streams_of_few_labels() -> None:
    whole = [event(PROMPT), event(PII), event(PROMPT)]
    batch = [Item(one.id, 0, to_json(one)) for one in whole]

    async def run() -> tuple[web.Request, bytes]:
        async with http_server(lambda _, __: web.Response(status=204)) as server:
            channel = LokiChannel(server.url, LokiSettings(tenant="team"))
            await channel.send(batch)
            await channel.close()
            return server.requests[0]

    request, body = asyncio.run(run())
    assert (request.path, request.content_type) == ("/loki/api/v1/push", "application/json")
    assert request.headers["X-Scope-OrgID"] == "team"
    line = [str(nanoseconds(whole[0].time)), batch[0].event.decode()]
    assert msgspec.json.decode(body) == {
        "streams": [
            {
                "stream": {"job": "busted", "host": whole[0].host, "type": "Prompt"},
                "values": [line, line],
            },
            {
                "stream": {"job": "busted", "host": whole[0].host, "type": "PiiDetected"},
                "values": [[line[0], batch[1].event.decode()]],
            },
        ]
    }

"""Events to Elasticsearch or OpenSearch, by the bulk API.

Each event is created with its own id, so one that was taken before is answered with 409, and
that counts as taken. The answer tells of each event: what is overloaded is offered again, what does
not fit the index is refused. `@timestamp` is added, which data streams ask for.

Reference: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busted.sinks.channel import Item, Sent, Unavailable
from busted.sinks.heads import head
from busted.sinks.http import HttpPeer, HttpSettings, json_answer

_CONFLICT = 409


class ElasticsearchSettings(HttpSettings, frozen=True, kw_only=True):
    """Settings of Elasticsearch; the token is an API key."""

    index: str = "busted-events"
    scheme: str = "ApiKey"


class ElasticsearchChannel:
    """Creates documents in one index or data stream."""

    def __init__(self, target: str, settings: ElasticsearchSettings) -> None:
        """`target` is the URL of the cluster. Raises WrongOutput."""
        self._peer = HttpPeer(target.rstrip("/"), settings)
        self._index = settings.index

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Create a batch of documents."""
        lines = []
        for item in batch:
            action = {"create": {"_index": self._index, "_id": item.id}}
            lines += [msgspec.json.encode(action), timestamped(item)]
        answer = json_answer(
            await self._peer.post(
                f"{self._peer.url}/_bulk",
                b"\n".join(lines) + b"\n",
                {"Content-Type": "application/x-ndjson"},
            )
        )
        return outcome(answer, len(batch))

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()


def timestamped(item: Item) -> bytes:
    """Return the event's JSON with `@timestamp`; milliseconds are what an index keeps."""
    return b'{"@timestamp":' + msgspec.json.encode(head(item).time) + b"," + item.event[1:]


def outcome(answer: object, count: int) -> Sent:
    """Return what a bulk answer says of `count` events. Raises Unavailable."""
    try:
        results = msgspec.convert(answer, _Answer).items
    except msgspec.ValidationError as error:
        raise Unavailable("the answer is none of a bulk request") from error
    if len(results) != count:
        raise Unavailable(f"the answer tells of {len(results)} events, not of {count}")
    statuses = [result.create.status for result in results]
    again = {n for n, status in enumerate(statuses) if status == 429 or status >= 500}
    refused = [
        status
        for n, status in enumerate(statuses)
        if n not in again and status != _CONFLICT and not 200 <= status < 300
    ]
    # Of one or the other; which of both matters little to who reads it.
    why = f"status {refused[0] if refused else statuses[min(again)]}" if refused or again else ""
    return Sent(refused=len(refused), again=frozenset(again), why=why)


class _Result(msgspec.Struct, frozen=True):
    status: int


class _Created(msgspec.Struct, frozen=True):
    create: _Result


class _Answer(msgspec.Struct, frozen=True):
    items: list[_Created]

"""What one message of a WebSocket is, judged by itself: a prompt, an answer, or one of MCP.

Strategy: as for a body without a head. A text that is no JSON, and control frames, are nothing.

Left out: to assemble an answer from the messages that bring it in pieces.
"""

from __future__ import annotations

from busted.classifier import pii, requests
from busted.classifier.answers import AnswerReader
from busted.classifier.collect import BodyStore
from busted.classifier.direction import Direction
from busted.classifier.exchange import Observed
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import Options
from busted.events import Action
from busted.protocols.websocket import WebSocketMessage


def read(
    message: WebSocketMessage,
    direction: Direction,
    *,
    sni: str | None,
    pending: Pending,
    options: Options,
    time_ns: int,
    number: int,
) -> list[Observed]:
    """Return the actions of a message, told as those of exchange `number`."""
    if message.kind not in ("text", "binary") or message.data.lstrip()[:1] not in (b"{", b"["):
        return []
    actions: list[Action] = []
    if direction is Direction.WRITE:
        body = BodyStore()
        body.feed(message.data)
        request = requests.read(
            None,
            body,
            sni=sni,
            truncated=message.truncated,
            pending=pending,
            options=options,
        )
        actions += request.actions
    else:
        answer = AnswerReader(
            None,
            None,
            options.providers.find(sni),
            pending=pending,
            options=options,
        )
        actions += answer.feed(message.data, time_ns)
        actions += answer.end(message.truncated, time_ns)
    return [
        Observed(action=told, time_ns=time_ns, exchange=number)
        for action in actions
        for told in pii.examine(action, direction)
    ]

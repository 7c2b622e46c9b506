"""MCP over standard input and output, turned into actions as its messages become complete.

Strategy: a message is a line, and the client's are those that the server reads. An answer finds
its request by its id. What is no JSON-RPC, as a server's log, is nothing; a JSON-RPC that goes on
without a message of MCP is another protocol's. A request that only the other side may make is
nobody's: somebody shows a log of MCP.

Left out: what one line beyond 4 MB holds, and a batch's messages apart: they share its size.

Source: https://modelcontextprotocol.io/specification, "Transports", "stdio".
"""

from __future__ import annotations

import msgspec

from busted.classifier import mcp
from busted.classifier.direction import Direction
from busted.classifier.event_framing import JsonLines
from busted.classifier.exchange import Observed, observe
from busted.classifier.framing import Role
from busted.classifier.interest import Interest, Verdict
from busted.classifier.mcp_http import Carrier, Sender
from busted.classifier.mcp_memory import MAX_PENDING, Memory, Pending
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.classifier.pii_exchanges import Revealed
from busted.protocols import jsonrpc
from busted.protocols.jsonrpc import JsonRpc
from busted.protocols.sse import SseEvent

_SENDERS: dict[Direction, Sender] = {Direction.WRITE: "client", Direction.READ: "server"}


class StdioReader:
    """Feed it what a client writes to a server's standard input and reads from its output.

    As `ConnectionReader`: `time_ns` is any clock's, nothing in the bytes makes it raise, and what
    it holds is bounded: a line of each direction, and who waits for an answer.
    """

    role: Role = "client"
    """Whose side is told."""

    is_between = True
    """Whether requests are whole: nothing waits for them here, for what is told was read."""

    def __init__(self, options: Options = DEFAULT_OPTIONS, memory: Memory | None = None) -> None:
        """Share `memory` among the connections of a host."""
        self._options = options
        self._lines = {direction: JsonLines() for direction in Direction}
        self._interest = Interest()
        self._pending = Pending(memory)
        self._carrier = Carrier()
        # The exchange of a request that was not answered yet, by who asked and its id.
        self._waiting: dict[tuple[Sender, str], int] = {}
        self._revealed = Revealed()
        self._count = 0

    @property
    def verdict(self) -> Verdict:
        """Whether the connection is worth watching: "not_ai" is for muting it."""
        return self._interest.verdict

    @property
    def is_waiting(self) -> bool:
        """Whether `expire` may find anything."""
        return bool(self._revealed)

    def name(self, server: str) -> None:
        """Tell how the server was started: its tools are known again by it."""
        self._carrier = Carrier(server=f"stdio:{server}")

    def feed(self, direction: Direction, data: bytes, time_ns: int) -> list[Observed]:
        """Consume the next bytes of a direction."""
        observed: list[Observed] = []
        for line in self._lines[direction].feed(data):
            observed += self._line(direction, line, time_ns)
        return observed

    def gap(self, direction: Direction, missing: int, time_ns: int) -> list[Observed]:
        """Tell that the next `missing` bytes of a direction were never seen."""
        # Of the line that it begins in, the head is known; the rest is no message of its own.
        return self._unfinished(direction, time_ns)

    def close(self, time_ns: int) -> list[Observed]:
        """The server ended: report what is unfinished as truncated."""
        observed = [one for way in Direction for one in self._unfinished(way, time_ns)]
        self._waiting.clear()
        return observed + list(self._revealed.over(set(), time_ns))

    def expire(self, now_ns: int) -> list[Observed]:
        """Report what exchanges revealed that are under way for long."""
        return list(self._revealed.expire(now_ns))

    def _unfinished(self, direction: Direction, time_ns: int) -> list[Observed]:
        lines = [
            msgspec.structs.replace(line, truncated=True)
            for line in self._lines[direction].finish()
        ]
        return [one for line in lines for one in self._line(direction, line, time_ns)]

    def _line(self, direction: Direction, line: SseEvent, time_ns: int) -> list[Observed]:
        if self.verdict == "not_ai":
            return []
        data = line.data.encode("utf-8", "surrogatepass")
        observed: list[Observed] = []
        messages = jsonrpc.read(data, cut=line.truncated)
        for message in messages:
            observed += self._message(direction, message, len(data), time_ns)
        if observed:
            self._interest.ai(None)
        elif messages:
            self._interest.other(len(data), complete=True)
        else:
            self._interest.unread(data)
        told = self._revealed.keep(observed, time_ns)
        return told + list(self._revealed.over(set(self._waiting.values()), time_ns))

    def _message(
        self, direction: Direction, message: JsonRpc, size: int, time_ns: int
    ) -> list[Observed]:
        sender = _SENDERS[direction]
        if message.kind == "request" and not mcp.may_ask(sender, message.method):
            return []
        found = mcp.actions([message], self._carrier, self._pending, sender, size)
        if not found:
            return []
        number = self._exchange(message, sender)
        return observe(found, self._options, direction, time_ns=time_ns, exchange=number)

    def _exchange(self, message: JsonRpc, sender: Sender) -> int:
        if message.kind in ("response", "error"):
            asker: Sender = "client" if sender == "server" else "server"
            if known := self._waiting.pop((asker, message.id or ""), None):
                return known
        self._count += 1
        if message.kind == "request" and message.id is not None:
            if len(self._waiting) >= MAX_PENDING:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[sender, message.id] = self._count
        return self._count

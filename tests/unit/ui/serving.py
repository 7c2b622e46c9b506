"""The real server over a real history and a real socket, in threads of this process."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from busted.agent.dashboard import Dashboard
from busted.agent.live_feed import LiveFeed
from busted.ui.server import Access, application
from tests.e2e.deadline import until

SECONDS = 30.0


class Api:
    """A server that listens, and how to ask it."""

    def __init__(self, port: int, feed: LiveFeed) -> None:
        self.port, self.feed = port, feed

    def ask(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, SECONDS)) as connection:
            connection.request(method, f"/api/v1{path}", body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def get(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200, body
        return msgspec.json.decode(body)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        sent = {"Content-Type": "application/json"} | headers
        status, _, answer = self.ask(path, sent, "POST", msgspec.json.encode(body))
        return status, msgspec.json.decode(answer)

    @contextmanager
    def stream(self, query: str = "", headers: dict[str, str] | None = None) -> Iterator[Any]:
        """Give the server-sent events, as pairs of their kind and data."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, SECONDS)) as connection:
            connection.request("GET", f"/api/v1/stream{query}", headers=headers or {})
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.getheader("content-type", "").startswith("text/event-stream")
            yield _events(answer)


def _events(lines: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if line != b"\n":
            fields[name] = value
            continue
        if "data" in fields:
            yield fields["event"], msgspec.json.decode(fields["data"])
        else:
            yield "retry" if "retry" in fields else "comment", None
        fields = {}


@contextmanager
def api(
    sock: Path,
    history: Path,
    access: Access = Access(),  # noqa: B008  (frozen)
) -> Iterator[Api]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        closing(LiveFeed(sock, retry_seconds=0.05)) as feed,
    ):
        source = Dashboard(sock, history, feed)
        config = uvicorn.Config(
            application(source, access), log_config=None, lifespan="off", ws="none",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            until(lambda: server.started, "the server listens")
            yield Api(listener.getsockname()[1], feed)
        finally:
            server.should_exit = True
            thread.join(SECONDS)

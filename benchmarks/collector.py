"""`python -m benchmarks.collector PORT FILE`: takes OTLP logs and writes down whose they are.

It says on which port it listens; 0 takes a free one. An id is in the file before its batch is
acknowledged, so nothing counts as delivered that is not there.
"""

from __future__ import annotations

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# The first of an event's identifiers is its own, in the escaped JSON of a record's body.
_ID = re.compile(rb'\{\\"schema\\":\d+,\\"id\\":\\"(\w+)')


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/logs":
            ids = b"".join(id + b"\n" for id in _ID.findall(body))
            with FILE.open("ab") as file:
                file.write(ids)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing of requests."""


class _Server(ThreadingHTTPServer):
    # It is killed, and comes back at once.
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    FILE = Path(sys.argv[2])
    with _Server(("127.0.0.1", int(sys.argv[1])), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()

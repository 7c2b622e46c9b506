"""A provider that speaks HTTP/3 (RFC 9114): one answer to every chat.

`python -m tests.e2e.http3_server --certificate FILE`, in the sandbox; it prints `ready`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from tests.e2e.sandbox import ADDRESS

ANSWER = "Quick, and over UDP."


class Provider(QuicConnectionProtocol):
    """One connection of a client."""

    def quic_event_received(self, event: QuicEvent) -> None:
        """Answer each request when all of it is there."""
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        for told in self._http.handle_event(event) if hasattr(self, "_http") else ():
            if isinstance(told, HeadersReceived | DataReceived) and told.stream_ended:
                self._answer(told.stream_id)
        self.transmit()

    def _answer(self, stream: int) -> None:
        message = {"role": "assistant", "content": ANSWER}
        body = json.dumps({"object": "chat.completion", "choices": [{"message": message}]})
        headers = [(b":status", b"200"), (b"content-type", b"application/json")]
        self._http.send_headers(stream, headers)
        self._http.send_data(stream, body.encode(), end_stream=True)


async def main(certificate: Path, address: str) -> None:
    """Serve until killed."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(certificate, certificate)
    await serve(address, 443, configuration=configuration, create_protocol=Provider)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake provider on HTTP/3, on loopback.")
    parser.add_argument("--address", default=ADDRESS)
    parser.add_argument("--certificate", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(main(options.certificate, options.address))

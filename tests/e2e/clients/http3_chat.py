"""Asks a chat over HTTP/3, as an SDK would over TCP: `http3_chat.py HOST PROMPT`."""

import asyncio
import json
import os
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent


class Client(QuicConnectionProtocol):
    """One connection, and one request on it."""

    async def ask(self, host: str, body: bytes) -> bytes:
        """Return the body of the answer."""
        self._http = H3Connection(self._quic)
        self._answer = b""
        self._whole = asyncio.get_running_loop().create_future()
        stream = self._quic.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": host,
            ":path": "/v1/chat/completions",
            "content-type": "application/json",
        }
        self._http.send_headers(stream, [(k.encode(), v.encode()) for k, v in headers.items()])
        self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        await self._whole
        return self._answer

    def quic_event_received(self, event: QuicEvent) -> None:
        """Collect the answer."""
        for told in self._http.handle_event(event) if hasattr(self, "_http") else ():
            if isinstance(told, DataReceived):
                self._answer += told.data
            if isinstance(told, HeadersReceived | DataReceived) and told.stream_ended:
                self._whole.set_result(None)


async def ask(host: str, prompt: str) -> str:
    """Return what the model says."""
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]})
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN)
    configuration.load_verify_locations(os.environ["SSL_CERT_FILE"])
    async with connect(host, 443, configuration=configuration, create_protocol=Client) as client:
        assert isinstance(client, Client)
        answer = json.loads(await client.ask(host, body.encode()))
    return str(answer["choices"][0]["message"]["content"])


if __name__ == "__main__":
    print(asyncio.run(ask(*sys.argv[1:])))

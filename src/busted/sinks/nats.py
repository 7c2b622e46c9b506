"""Events to NATS JetStream, with the event's id as Nats-Msg-Id.

A message counts as taken once the stream has acknowledged it, and the stream drops one whose id it
saw before (`duplicate_window`, two minutes unless set). The stream that takes the subject must
exist: it is the operator's to say how long it keeps what.

Reference: https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, NoStreamResponseError

from busted.sinks.channel import Item, Sent, Unavailable, WrongOutput
from busted.sinks.settings import TlsSettings, secret, tls_context


class NatsSettings(TlsSettings, frozen=True, kw_only=True):
    """Settings of NATS; `credentials_file` is one that `nsc` makes."""

    subject: str = "busted.events"
    credentials_file: Path | None = None
    token_file: Path | None = None
    token_env: str | None = None


class NatsChannel:
    """Publishes to one cluster."""

    def __init__(self, target: str, settings: NatsSettings) -> None:
        """`target` is nats://HOST:PORT or tls://HOST:PORT, several with commas. WrongOutput."""
        servers = target.split(",")
        if not all(server.startswith(("nats://", "tls://")) for server in servers):
            raise WrongOutput(f"{target!r} is no nats://HOST:PORT or tls://HOST:PORT")
        if "@" in target:
            raise WrongOutput("a URL may hold no password: use credentials_file or token_file")
        self._settings = settings
        self._options: dict[str, Any] = {
            "servers": servers,
            # Trying again is for who calls: it knows when, and counts.
            "allow_reconnect": False,
            "connect_timeout": settings.timeout,
            "error_cb": _ignored,
        }
        if any(server.startswith("tls://") for server in servers) or settings.ca_file:
            self._options["tls"] = tls_context(settings)
        if settings.credentials_file:
            self._options["user_credentials"] = str(settings.credentials_file)
        if token := secret("token", settings.token_file, settings.token_env):
            self._options["token"] = token
        self._client: Client | None = None

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Publish a batch and wait for all acknowledgements."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                if self._client is None or not self._client.is_connected:
                    await self.close()
                    self._client = await nats.connect(**self._options)
                stream = self._client.jetstream(timeout=self._settings.timeout)
                results = await asyncio.gather(
                    *(
                        stream.publish(
                            self._settings.subject, item.event, headers={"Nats-Msg-Id": item.id}
                        )
                        for item in batch
                    ),
                    return_exceptions=True,
                )
        except (NatsError, OSError, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"cannot connect ({_why(error)})") from error
        return outcome(results, self._settings.subject)

    async def close(self) -> None:
        """Close the connection."""
        if self._client:
            client, self._client = self._client, None
            await client.close()


def outcome(results: Sequence[object], subject: str) -> Sent:
    """Return what became of each message: an acknowledgement, or the error that it met."""
    refused, again, why = 0, set(), ""
    for position, result in enumerate(results):
        if not isinstance(result, BaseException):
            continue
        if isinstance(result, MaxPayloadError):
            refused += 1
            why = "longer than the server's max_payload"
        else:
            again.add(position)
            why = (
                f"no stream takes {subject}: make one"
                if isinstance(result, NoStreamResponseError)
                else _why(result)
            )
    return Sent(refused=refused, again=frozenset(again), why=why)


def _why(error: BaseException) -> str:
    if isinstance(error, APIError):
        return f"error {error.code}"
    return type(error).__name__


async def _ignored(error: Exception) -> None:
    """Errors reach us with what they made fail; by default the library logs them with traceback."""

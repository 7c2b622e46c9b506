"""Events to Kafka, with the event's id as the key of its message.

librdkafka does the talking, from threads of its own; a batch is handed to it and waited for. It is
an idempotent producer: a message is not in the log twice because an answer got lost. Across a
restart it may be; the key tells.

Reference: https://docs.confluent.io/platform/current/clients/confluent-kafka-python
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from busted.sinks.channel import Item, Sent, Unavailable, WrongOutput
from busted.sinks.settings import RemoteSettings

# What it logs is in the delivery reports, too.
_SILENT = logging.getLogger(f"{__name__}.librdkafka")
_SILENT.setLevel(logging.CRITICAL)
# How long one look for delivery reports lasts, seconds.
_POLL_SECONDS = 0.1
# About one message, whatever the state of the cluster.
_REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})


class KafkaSettings(RemoteSettings, frozen=True, kw_only=True):
    """Settings of Kafka.

    `properties_file` holds lines of KEY=VALUE as librdkafka knows them, for all else: security,
    passwords, compression.
    """

    topic: str = "busted-events"
    properties_file: Path | None = None


class KafkaChannel:
    """Produces to one topic."""

    def __init__(self, target: str, settings: KafkaSettings) -> None:
        """`target` is HOST:PORT, several with commas. Raises WrongOutput."""
        self._settings = settings
        self._configuration: dict[str, Any] = {
            "bootstrap.servers": target,
            "client.id": "busted",
            "enable.idempotence": True,
            "message.timeout.ms": int(settings.timeout * 1000),
            # Handed over as batches already.
            "linger.ms": 5,
            # One batch with one event of any size, at least.
            "message.max.bytes": 64 << 20,
            **(_properties(settings.properties_file) if settings.properties_file else {}),
        }
        try:
            # Says what is wrong with the properties; it speaks to no server before it is used.
            Producer({**self._configuration, "bootstrap.servers": "", "logger": _SILENT})
        except KafkaException as error:
            raise WrongOutput(f"kafka: {error.args[0].str()}") from error
        self._producer: Producer | None = None
        self._given_up = False

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Produce a batch and wait for its delivery reports."""
        try:
            return await asyncio.to_thread(self._produce, batch)
        except asyncio.CancelledError:
            # The process does not end before its thread does.
            self._given_up = True
            raise

    async def close(self) -> None:
        """Let the connection go; nothing is on its way."""
        if self._producer:
            self._producer.purge()
        self._producer = None

    def _produce(self, batch: Sequence[Item]) -> Sent:
        if self._producer is None:
            self._producer = Producer({**self._configuration, "logger": _SILENT})
        errors: dict[int, KafkaError | None] = {}
        handed = 0
        refused: list[int] = []
        for position, item in enumerate(batch):

            def told(error: KafkaError | None, _: Message, position: int = position) -> None:
                errors[position] = error

            try:
                self._producer.produce(
                    self._settings.topic, item.event, key=item.id.encode(), on_delivery=told
                )
                handed += 1
            except BufferError:
                break  # its queue is full: the others come with the next batch
            except KafkaException as error:
                if error.args[0].code() not in _REFUSED:
                    raise Unavailable(_why(error.args[0])) from error
                refused.append(position)
        # It reports each message within message.timeout.ms; more would be a fault of its own.
        ends = time.monotonic() + self._settings.timeout + 5
        while len(errors) < handed and time.monotonic() < ends and not self._given_up:
            self._producer.poll(_POLL_SECONDS)
        return self._outcome(len(batch), errors, refused)

    def _outcome(
        self, count: int, errors: dict[int, KafkaError | None], refused: list[int]
    ) -> Sent:
        failed = {position: error for position, error in errors.items() if error is not None}
        if any(error.fatal() for error in failed.values()) or len(errors) < count - len(refused):
            # An idempotent producer cannot go on after a gap; another one can.
            self._producer = None
        no_use = {p for p, error in failed.items() if error.code() in _REFUSED} | set(refused)
        again = frozenset(range(count)) - errors.keys() - no_use | (failed.keys() - no_use)
        why = _why(next(iter(failed.values()))) if failed else "message too large"
        return Sent(refused=len(no_use), again=frozenset(again), why=why)


def _why(error: KafkaError) -> str:
    return str(error.name())


def _properties(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongOutput(f"properties_file: cannot read {path}: {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise WrongOutput(f"properties_file: {path}: line {number} is no KEY=VALUE")
        found[name.strip()] = value.strip()
    return found

"""Against librdkafka's own mock of a Kafka cluster, which speaks the real protocol over TCP."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from busted.sinks.channel import WrongOutput
from busted.sinks.delivery import Delivery, DeliveryThread
from busted.sinks.kafka import KafkaChannel, KafkaSettings
from tests.outputs.processes import free_port, wait_until
from tests.unit.sinks.peers import QUICK, balance, event_json, items, put, running, until


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker; it is there as long as the producer that made it."""
    owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": ""})
    brokers: list[str] = []

    def known() -> bool:
        owner.poll(0.05)
        brokers[:] = [
            f"{broker.host}:{broker.port}"
            for broker in owner.list_topics(timeout=10).brokers.values()
        ]
        return bool(brokers)

    wait_until(known)
    yield brokers[0]
    owner.flush(1)


@pytest.fixture
def cluster() -> Iterator[str]:
    with broker() as address:
        yield address


def consumed(cluster: str, count: int) -> list[tuple[bytes, bytes]]:
    consumer = Consumer(
        {"bootstrap.servers": cluster, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["busted-events"])
    found: list[tuple[bytes, bytes]] = []

    def enough() -> bool:
        for message in consumer.consume(1000, timeout=0.2):
            assert message.error() is None
            found.append((message.key() or b"", message.value() or b""))
        return len(found) >= count

    wait_until(enough)
    consumer.close()
    return found


def test_every_event_is_a_message_with_its_id_as_the_key(cluster: str) -> None:
    async def run() -> Delivery:
        delivery = Delivery("kafka", KafkaChannel(cluster, KafkaSettings()), QUICK)
        async with running(delivery):
            put(delivery, range(1000))
            await until(lambda: not delivery.figures().waiting)
        return delivery

    delivery = asyncio.run(run())
    assert balance(delivery) == (1000, 1000)
    assert delivery.figures().lost == {}
    expected = {(f"event-{n}".encode(), event_json(n)) for n in range(1000)}
    found = consumed(cluster, 1000)
    assert (set(found), len(found)) == (expected, 1000)


def test_no_broker_is_no_success_and_costs_nothing() -> None:
    async def run() -> None:
        channel = KafkaChannel(f"127.0.0.1:{free_port()}", KafkaSettings(timeout=1))
        sent = await channel.send(items(1, 2))
        await channel.close()
        assert sent.refused == 0
        assert sent.again == {0, 1}
        assert sent.why

    asyncio.run(run())


def test_a_monitor_that_ends_does_not_wait_for_a_broker_that_is_away() -> None:
    channel = KafkaChannel(f"127.0.0.1:{free_port()}", KafkaSettings(timeout=3600))
    delivery = Delivery("kafka", channel, QUICK)
    thread = DeliveryThread([delivery])
    put(delivery, range(10))
    wait_until(lambda: any(t.name.startswith("asyncio_") for t in threading.enumerate()))
    thread.close(0.1)

    wait_until(lambda: not any(t.name.startswith("asyncio_") for t in threading.enumerate()))
    assert delivery.figures().lost == {"stopped": 10}


def test_an_event_that_is_too_large_is_refused_and_costs_no_other(
    cluster: str, tmp_path: Path
) -> None:
    properties = tmp_path / "kafka.properties"
    properties.write_text("# ours\nmessage.max.bytes=20000\n")

    async def run() -> Delivery:
        settings = KafkaSettings(properties_file=properties)
        delivery = Delivery("kafka", KafkaChannel(cluster, settings), QUICK)
        async with running(delivery):
            put(delivery, [1])
            put(delivery, [2], size=30_000)
            put(delivery, [3])
            await until(lambda: not delivery.figures().waiting)
        return delivery

    delivery = asyncio.run(run())
    assert (delivery.figures().delivered, delivery.figures().lost) == (2, {"refused": 1})


@pytest.mark.parametrize(
    ("line", "message"), [("no.such.property=1", "no.such.property"), ("words", "line 1")]
)
def test_wrong_properties_are_told_at_the_start(tmp_path: Path, line: str, message: str) -> None:
    properties = tmp_path / "kafka.properties"
    properties.write_text(line)

    with pytest.raises(WrongOutput, match=message):
        KafkaChannel("127.0.0.1:9092", KafkaSettings(properties_file=properties))

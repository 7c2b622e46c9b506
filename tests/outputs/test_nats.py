"""Against the real nats-server."""

import asyncio
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig

from busted.sinks.channel import Unavailable, WrongOutput
from busted.sinks.delivery import Delivery
from busted.sinks.nats import NatsChannel, NatsSettings
from busted.sinks.spool import Spool
from tests.outputs.processes import free_port, server
from tests.unit.sinks.peers import QUICK, balance, event_json, items, put, running, until

pytestmark = pytest.mark.needs("nats")


class Nats:
    """A server with JetStream on disk, so that what it acknowledged survives its end."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.configuration = directory / "nats.conf"
        self.configuration.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{directory / "store"}" }}\n'
            "max_payload: 65536\n"
        )
        self.log = directory / "nats.log"

    def running(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        command = ["nats-server", "-c", str(self.configuration)]
        return server(command, self.log, self.port)

    async def add_stream(self) -> None:
        client = await nats.connect(self.url)
        await client.jetstream().add_stream(StreamConfig(name="BUSTED", subjects=["busted.events"]))
        await client.close()

    async def messages(self) -> list[tuple[str, bytes]]:
        client = await nats.connect(self.url)
        stream = client.jetstream()
        count = (await stream.stream_info("BUSTED")).state.messages
        found = [await stream.get_msg("BUSTED", seq=n) for n in range(1, count + 1)]
        await client.close()
        return [((m.headers or {})["Nats-Msg-Id"], m.data or b"") for m in found]


@pytest.fixture
def peer(tmp_path: Path) -> Nats:
    return Nats(tmp_path)


def test_a_stream_has_each_event_once_over_an_outage(peer: Nats, tmp_path: Path) -> None:
    async def run() -> Delivery:
        channel = NatsChannel(peer.url, NatsSettings(timeout=5))
        delivery = Delivery("nats", channel, QUICK, Spool(tmp_path / "spool.db", 1 << 20))
        put(delivery, range(50))
        async with running(delivery):
            with peer.running():
                await peer.add_stream()
                await until(lambda: delivery.figures().delivered == 50)
            put(delivery, range(50, 1200))
            with peer.running():
                await until(lambda: delivery.figures().delivered == 1200)
                put(delivery, range(10))  # again, as after a lost answer
                await until(lambda: delivery.figures().delivered == 1210)
                found = await peer.messages()
        assert sorted(found) == sorted((f"event-{n}", event_json(n)) for n in range(1200))
        return delivery

    delivery = asyncio.run(run())
    assert balance(delivery) == (1210, 1210)
    assert delivery.figures().lost == {}


def test_nothing_is_taken_where_no_stream_takes_the_subject(peer: Nats) -> None:
    async def run() -> None:
        channel = NatsChannel(peer.url, NatsSettings(timeout=5))
        with peer.running():
            sent = await channel.send(items(1, 2))
            assert sent.again == {0, 1}
            assert sent.why == "no stream takes busted.events: make one"
            await channel.close()

    asyncio.run(run())


def test_an_event_that_is_too_large_is_refused_and_costs_no_other(peer: Nats) -> None:
    async def run() -> Delivery:
        delivery = Delivery("nats", NatsChannel(peer.url, NatsSettings(timeout=5)), QUICK)
        with peer.running():
            await peer.add_stream()
            async with running(delivery):
                put(delivery, [1])
                put(delivery, [2], size=70_000)
                put(delivery, [3])
                await until(lambda: not delivery.figures().waiting)
            assert len(await peer.messages()) == 2
        return delivery

    delivery = asyncio.run(run())
    assert delivery.figures().lost == {"refused": 1}


def test_no_server_is_no_success(peer: Nats) -> None:
    async def run() -> None:
        channel = NatsChannel(peer.url, NatsSettings(timeout=1))
        with pytest.raises(Unavailable, match="cannot connect"):
            await channel.send(items(1))
        await channel.close()

    asyncio.run(run())


@pytest.mark.parametrize("target", ["127.0.0.1:4222", "nats://user:word@host"])
def test_a_target_is_checked_at_the_start(target: str) -> None:
    with pytest.raises(WrongOutput):
        NatsChannel(target, NatsSettings())

"""The monitor in a real loop, over the running kernel, beside real TLS clients on loopback."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from busted.agent import monitor as monitor_module
from busted.agent.config import Selection, Settings
from busted.agent.monitor import Monitor
from busted.events import Coverage, Event, Network, Prompt, Response
from busted.kernel import shared
from busted.kernel.features import probe
from busted.kernel.mappings import MappingWatch
from busted.kernel.targets import Mapping, running_processes
from tests.kernel.harness import DEADLINE_SECONDS
from tests.requirements import require, tls_libraries

pytestmark = pytest.mark.needs("kernel")

CLIENT = Path(__file__).parent / "tls_client.py"
NAME = "api.openai.com"
ASK = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Name a colour."}]}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ASK)
) + ASK
ANSWER = (
    b'{"id":"1","model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Blue."}}]}'
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER


class Client:
    """A client process: it makes its one call when it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self.pid = process, process.pid

    async def mapped(self, library: str) -> None:
        """Wait until it has its TLS library mapped."""
        await until(lambda: library in Path(f"/proc/{self.pid}/maps").read_text())

    async def connected(self) -> None:
        """Wait until it has its connection; it was started with `early`."""
        output = self._process.stdout
        assert output is not None
        line = await asyncio.wait_for(output.readline(), DEADLINE_SECONDS)
        assert line == b"connected\n"

    async def call(self) -> None:
        await asyncio.wait_for(self._process.communicate(REQUEST), DEADLINE_SECONDS)
        assert self._process.returncode == 0


class Bed:
    """A provider on loopback, and a monitor whose events are collected."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.authority = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME).configure_cert(self._context)
        self.directory = directory
        self.events: list[Event] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        # In this very process, whose own TLS the monitor leaves alone.
        server = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    @asynccontextmanager
    async def watching(self, settings: Settings | None = None) -> AsyncIterator[Monitor]:
        monitor = Monitor(settings or Settings(), self.events.append)
        running = asyncio.ensure_future(monitor.run())
        try:
            yield monitor
        finally:
            monitor.stop()
            await asyncio.wait_for(running, DEADLINE_SECONDS)

    async def client(self, *arguments: str, **environment: str) -> Client:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CLIENT), str(self.port), str(self.authority), NAME, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | environment,
        )
        return Client(process)

    def own_library(self, name: str) -> dict[str, str]:
        """The environment of a client with a copy of the TLS library that nobody else has."""
        directory = self.directory / name
        directory.mkdir()
        require("shared libssl")
        for library in tls_libraries():
            shutil.copy(library, directory)
        return {"LD_LIBRARY_PATH": str(directory)}

    def actions(self, client: Client) -> list[Prompt | Response]:
        return [
            event.action
            for event in self.events
            if event.process.pid == client.pid and isinstance(event.action, Prompt | Response)
        ]

    async def reported(self, client: Client) -> None:
        """Wait for the call of a client to be reported, once and in full."""
        await until(lambda: len(self.actions(client)) >= 2)
        prompt, response = self.actions(client)
        assert isinstance(prompt, Prompt)
        assert prompt.user_message == "Name a colour."
        assert isinstance(response, Response)
        assert response.text == "Blue."
        assert not prompt.truncated
        assert not response.truncated

    def hooked(self) -> list[str]:
        """The paths that the last coverage event tells."""
        coverage = [
            e.action for e in self.events if isinstance(e.action, Coverage) and e.action.of_busted
        ]
        return [library.path for library in coverage[-1].libraries] if coverage else []


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(len(REQUEST))
    writer.write(RESPONSE)
    await writer.drain()
    writer.close()


async def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def run(bed: Bed, scenario: Callable[[], Awaitable[None]]) -> None:
    async def served() -> None:
        async with bed.serving():
            await scenario()

    asyncio.run(served())


def test_a_client_that_was_there_before_is_reported(bed: Bed) -> None:
    async def scenario() -> None:
        client = await bed.client()
        await client.mapped("libssl")
        async with bed.watching():
            await client.call()
            await bed.reported(client)

    run(bed, scenario)


def test_a_library_that_is_upgraded_is_read_by_those_that_have_the_old_and_the_new(
    bed: Bed,
) -> None:
    async def scenario() -> None:
        library = bed.own_library("library")
        old = await bed.client(**library)
        await old.mapped("libssl")
        async with bed.watching():
            # As a package manager does it: another file takes the name.
            fresh = bed.own_library("fresh")
            for file in Path(fresh["LD_LIBRARY_PATH"]).iterdir():
                file.rename(Path(library["LD_LIBRARY_PATH"]) / file.name)
            new = await bed.client(**library)
            await until(lambda: sum("library/libssl" in path for path in bed.hooked()) == 2)
            for client in (old, new):
                await client.call()
                await bed.reported(client)

    run(bed, scenario)


@pytest.mark.needs("attach cookie")
def test_a_connection_that_was_there_before_is_told_with_its_addresses(bed: Bed) -> None:
    async def scenario() -> None:
        client = await bed.client("early")
        await client.connected()
        async with bed.watching():
            await client.call()
            await bed.reported(client)
            await until(lambda: any(isinstance(e.action, Network) for e in bed.events))
        told = [e for e in bed.events if e.process.pid == client.pid]
        assert {type(e.action) for e in told} == {Prompt, Response, Network, Coverage}
        for event in told:
            assert event.connection is not None
            assert (event.connection.dst_ip, event.connection.dst_port) == ("127.0.0.1", bed.port)
            assert event.connection.src_port
        assert all(e.action.joined_late for e in told if isinstance(e.action, Network))
        (coverage,) = (e.action.connection for e in told if isinstance(e.action, Coverage))
        assert coverage is not None
        assert (coverage.state, coverage.reason) == ("partial", "joined_late")
        # What was said was read, and the handshake before it was not.
        assert coverage.decoded_sent == len(REQUEST) < coverage.wire_sent
        assert coverage.decoded_received == len(RESPONSE) < coverage.wire_received

    run(bed, scenario)


def test_a_short_client_with_a_library_of_its_own_is_reported(bed: Bed) -> None:
    async def scenario() -> None:
        async with bed.watching():
            for number in range(3):
                client = await bed.client(**bed.own_library(f"copy{number}"))
                await client.call()
                await bed.reported(client)

    run(bed, scenario)


@pytest.mark.needs("perf buffer")
def test_a_client_is_reported_through_perf_buffers(bed: Bed) -> None:
    async def scenario() -> None:
        client = await bed.client()
        await client.mapped("libssl")
        async with bed.watching(Settings(buffer="perf")) as monitor:
            await client.call()
            await bed.reported(client)
            assert monitor.lost() == {}

    run(bed, scenario)


def test_a_kernel_that_cannot_tell_libraries_apart_is_told_to_join_no_wire(bed: Bed) -> None:
    async def scenario() -> None:
        async with bed.watching():
            await until(lambda: bool(bed.events))

    run(bed, scenario)
    coverage = bed.events[0].action
    assert isinstance(coverage, Coverage)
    assert ("tls_random" in coverage.left_out) is not probe().has("attach cookie")


def test_an_event_names_the_library_and_the_process(bed: Bed) -> None:
    async def scenario() -> None:
        async with bed.watching():
            environment = bed.own_library("copy")
            client = await bed.client(**environment)
            # A name is told before the handshake: too early for a library just mapped.
            await until(lambda: any(environment["LD_LIBRARY_PATH"] in p for p in bed.hooked()))
            await client.call()
            await bed.reported(client)
            said = (event for event in bed.events if event.exchange_id)
            event = next(event for event in said if event.process.pid == client.pid)
            assert event.connection is not None
            assert event.connection.sni == NAME
            # Without attach cookies the kernel cannot tell which.
            library = event.connection.tls_library or ""
            known = probe().has("attach cookie")
            assert library.startswith(environment["LD_LIBRARY_PATH"]) is known
            assert event.process.exe == os.path.realpath(sys.executable)
            assert str(CLIENT) in event.process.argv
            assert event.process.ppid == os.getpid()

    run(bed, scenario)


def test_the_monitors_own_traffic_is_not_reported(bed: Bed) -> None:
    async def scenario() -> None:
        async with bed.watching():
            client = await bed.client()
            await client.call()
            await bed.reported(client)
        assert all(
            isinstance(event.action, Coverage)
            for event in bed.events
            if event.process.pid == os.getpid()
        )

    run(bed, scenario)


def test_what_the_ring_still_holds_at_the_end_is_reported(bed: Bed) -> None:
    async def scenario() -> None:
        async with bed.watching() as monitor:
            client = await bed.client()
            await client.call()
            monitor.stop()
        await bed.reported(client)

    run(bed, scenario)


def test_a_process_that_was_not_asked_for_is_not_reported(bed: Bed) -> None:
    async def scenario() -> None:
        other, wanted = await bed.client(), await bed.client()
        settings = Settings(selection=Selection(pids=frozenset({wanted.pid})))
        async with bed.watching(settings):
            await other.call()
            await wanted.call()
            await bed.reported(wanted)
        assert bed.actions(other) == []

    run(bed, scenario)


class DeafWatch(MappingWatch):
    """Every mapping is lost, as when the buffers are too small for a storm of them."""

    def read(self) -> list[Mapping]:
        if super().read():
            self.missed = True
        return []


def test_when_mappings_were_missed_all_processes_are_looked_at_again(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "MappingWatch", DeafWatch)

    async def scenario() -> None:
        async with bed.watching():
            environment = bed.own_library("copy")
            client = await bed.client(**environment)
            directory = environment["LD_LIBRARY_PATH"]
            await until(lambda: any(path.startswith(directory) for path in bed.hooked()))
            await client.call()
            await bed.reported(client)

    run(bed, scenario)


def test_a_library_that_nobody_maps_any_more_is_let_go_and_found_again(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "UNUSED_SECONDS", 0.05)
    monkeypatch.setattr(monitor_module, "MAX_UNUSED_KEPT", 0)

    async def scenario() -> None:
        environment = bed.own_library("copy")

        def is_hooked() -> bool:
            return any(path.startswith(environment["LD_LIBRARY_PATH"]) for path in bed.hooked())

        async with bed.watching():
            for _ in range(2):
                client = await bed.client(**environment)
                await until(is_hooked)  # and stays so while the client waits
                await client.call()
                await bed.reported(client)
                await until(lambda: not is_hooked())

    run(bed, scenario)


def test_one_look_that_misses_a_process_lets_nothing_go(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "UNUSED_SECONDS", 0.01)
    monkeypatch.setattr(monitor_module, "MAX_UNUSED_KEPT", 0)
    looks = 0

    def every_second_time() -> Iterator[int]:
        nonlocal looks
        looks += 1
        return running_processes() if looks % 2 else iter(())

    monkeypatch.setattr(monitor_module, "running_processes", every_second_time)

    async def scenario() -> None:
        environment = bed.own_library("copy")
        async with bed.watching():
            client = await bed.client(**environment)
            await client.mapped(environment["LD_LIBRARY_PATH"])
            seen = looks
            await until(lambda: looks > seen + 8)
            # Let go, it would stay so: nothing maps it anew.
            await client.call()
            await bed.reported(client)

    run(bed, scenario)


def test_few_libraries_are_kept_though_nobody_maps_them(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "UNUSED_SECONDS", 0.01)

    async def scenario() -> None:
        async with bed.watching():
            environment = bed.own_library("copy")
            for _ in range(2):
                client = await bed.client(**environment)
                await client.call()
                await bed.reported(client)
        directory = environment["LD_LIBRARY_PATH"]
        assert sum(path.startswith(directory) for path in bed.hooked()) == 1

    run(bed, scenario)


def test_a_monitor_that_breaks_ends_instead_of_going_blind(bed: Bed) -> None:
    async def scenario() -> None:
        failures = [RuntimeError("no more room")]

        def emit(event: Event) -> None:
            if isinstance(event.action, Prompt) and failures:
                raise failures.pop()

        monitor = Monitor(Settings(), emit)
        running = asyncio.ensure_future(monitor.run())
        client = await bed.client()
        await client.call()
        with pytest.raises(RuntimeError, match="no more room"):
            await asyncio.wait_for(running, DEADLINE_SECONDS)

    run(bed, scenario)


def test_many_libraries_may_be_open(bed: Bed) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:

        async def scenario() -> None:
            async with bed.watching():
                assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)

        run(bed, scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_the_programs_for_files_the_rest_works_and_says_so(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a kernel that refuses them."""
    objects = tmp_path / "objects"
    shutil.copytree(shared.OBJECTS, objects, ignore=shutil.ignore_patterns("file.*"))
    monkeypatch.setattr(shared, "OBJECTS", objects)

    async def scenario() -> None:
        client = await bed.client()
        await client.mapped("libssl")
        async with bed.watching(Settings(files="all")):
            await client.call()
            await bed.reported(client)

    run(bed, scenario)
    coverage = [e.action for e in bed.events if isinstance(e.action, Coverage)]
    assert "file." in coverage[0].left_out["files"]

"""Against the real rsyslogd, run in the foreground with a configuration of its own."""

import asyncio
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest
import trustme

from busted.events import to_json
from busted.sinks.channel import Item, Unavailable
from busted.sinks.delivery import Delivery
from busted.sinks.syslog import SyslogChannel, SyslogSettings
from tests.outputs.processes import free_port, server
from tests.unit.sinks.peers import QUICK, balance, event_json, items, put, running, until
from tests.unit.sinks.samples import PII, event

pytestmark = pytest.mark.needs("rsyslog")


class Rsyslog:
    """Writes what it gets to a file: priority, host, program, process, type and message."""

    def __init__(self, directory: Path, transport: str) -> None:
        self.port = free_port()
        self.out = directory / "out"
        self.ca = directory / "ca.pem"
        self.transport = transport
        self.configuration = directory / "rsyslog.conf"
        tls = ""
        driver = ""
        if transport == "tls":
            authority = trustme.CA()
            authority.cert_pem.write_to_path(str(self.ca))
            issued = authority.issue_cert("127.0.0.1")
            issued.private_key_pem.write_to_path(str(directory / "key.pem"))
            issued.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
            driver = (
                f'defaultNetstreamDriverCAFile="{self.ca}" '
                f'defaultNetstreamDriverCertFile="{directory / "cert.pem"}" '
                f'defaultNetstreamDriverKeyFile="{directory / "key.pem"}" '
                'defaultNetstreamDriver="ossl" '
            )
            tls = 'StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
        template = "%PRI% %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% %PROCID% %MSGID% %msg%"
        self.configuration.write_text(
            f'global(workDirectory="{directory}" maxMessageSize="64k" {driver})\n'
            f'module(load="imtcp" {tls})\n'
            'module(load="imudp")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}")\n'
            f'input(type="imudp" address="127.0.0.1" port="{self.port}")\n'
            f'template(name="line" type="string" string="{template}\\n")\n'
            f'if $programname == "busted" then'
            f' action(type="omfile" file="{self.out}" template="line")\n'
        )
        self.directory = directory

    def running(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        command = ["rsyslogd", "-n", "-f", str(self.configuration)]
        command += ["-i", str(self.directory / "pid"), "-C"]
        return server(command, self.directory / "log", self.port)

    def channel(self) -> SyslogChannel:
        ca = self.ca if self.transport == "tls" else None
        settings = SyslogSettings(ca_file=ca, timeout=5)
        return SyslogChannel(f"{self.transport}://127.0.0.1:{self.port}", settings)

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines() if self.out.exists() else []

    def messages(self) -> list[bytes]:
        return [line[line.index("{") :].encode() for line in self.lines()]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_events_arrive_in_order_over_an_outage(tmp_path: Path, transport: str) -> None:
    peer = Rsyslog(tmp_path, transport)

    async def run() -> Delivery:
        delivery = Delivery("syslog", peer.channel(), QUICK)
        put(delivery, range(10))
        async with running(delivery):
            with peer.running():
                await until(lambda: delivery.figures().delivered == 10)
                await until(lambda: len(peer.lines()) == 10)
            put(delivery, range(10, 700))
            with peer.running():
                await until(lambda: delivery.figures().delivered == 700)
                await until(lambda: len(peer.lines()) == 700)
        return delivery

    delivery = asyncio.run(run())
    assert peer.messages() == [event_json(n) for n in range(700)]
    assert (balance(delivery), delivery.figures().lost) == ((700, 700), {})


def test_datagrams_arrive(tmp_path: Path) -> None:
    peer = Rsyslog(tmp_path, "udp")

    async def run() -> None:
        channel = peer.channel()
        with peer.running():
            sent = await channel.send([*items(1, 2), Item("large", 0, event_json(3, 70_000))])
            assert sent.refused == 1
            await until(lambda: len(peer.lines()) == 2)
        await channel.close()

    asyncio.run(run())
    assert peer.messages() == [event_json(1), event_json(2)]


def test_a_message_has_the_fields_of_the_event(tmp_path: Path) -> None:
    peer = Rsyslog(tmp_path, "tcp")
    whole = msgspec.structs.replace(event(PII), time="2026-01-02T03:04:05.123456789Z")

    async def run() -> None:
        channel = peer.channel()
        with peer.running():
            await channel.send([Item(whole.id, 0, to_json(whole))])
            await until(peer.lines)
        await channel.close()

    asyncio.run(run())
    # Facility local0 (16), severity warning (4).
    assert peer.lines() == [
        f"132 2026-01-02T03:04:05.123456Z {whole.host} busted {whole.process.pid} PiiDetected"
        f" {to_json(whole).decode()}"
    ]


def test_a_server_without_a_certificate_to_trust_gets_nothing(tmp_path: Path) -> None:
    peer = Rsyslog(tmp_path, "tls")

    async def run() -> None:
        channel = SyslogChannel(f"tls://127.0.0.1:{peer.port}", SyslogSettings(timeout=5))
        with peer.running(), pytest.raises(Unavailable):
            await channel.send(items(1))
        await channel.close()

    asyncio.run(run())
    assert peer.lines() == []


def test_a_server_that_is_killed_is_found_again(tmp_path: Path) -> None:
    peer = Rsyslog(tmp_path, "tcp")

    async def run() -> None:
        delivery = Delivery("syslog", peer.channel(), QUICK)
        async with running(delivery):
            with peer.running() as process:
                put(delivery, [1])
                await until(lambda: len(peer.lines()) == 1)
                process.kill()
                process.wait()
            with peer.running():
                put(delivery, [2])
                await until(lambda: len(peer.lines()) == 2)

    asyncio.run(run())
    assert peer.messages() == [event_json(1), event_json(2)]

"""`busted monitor`: watch this host and print what agents say, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, cast

import click
import msgspec

from busted import state
from busted.agent import host_key, private_log
from busted.agent.config import Settings
from busted.agent.config_file import ConfigFile
from busted.agent.content import Level
from busted.agent.local_socket import history_of, kept, parse
from busted.agent.monitor import Monitor
from busted.agent.reload import Reload
from busted.agent.service import Service
from busted.cli.configuration import keyed
from busted.cli.metrics import serving
from busted.cli.output import Output, content_filter
from busted.cli.settings import chosen, outputs_of, setting_options, settings_of
from busted.cli.socket import listening
from busted.events import Event
from busted.sinks.metric_sources import Sources
from busted.sinks.recent import Recent
from busted.sinks.settings import secret

Counting = AbstractContextManager[Callable[[Event], None]]

INTERRUPTED = 130
# Says of each place what is counted there, what it means, and what to do.
LOSS_PAGE = "docs/events.md, What is lost"
# What `systemctl status` shows.
WATCHING = "watching"


@click.command()
@setting_options
@click.pass_context
def monitor(ctx: click.Context, /, **_: Any) -> None:
    """Watch this host and print what AI agents say and do, until Ctrl-C.

    Needs root, or the capabilities in docs/privileges.md. Exits with 3 where the kernel or the
    privileges do not allow it. Each option is also a key of the configuration file and a variable
    of the environment, see docs/settings.md.
    """
    options = chosen(ctx)
    settings, outputs = settings_of(options), outputs_of(options)
    metrics, format, content = (
        options[key] for key in ("metrics.listen", "monitor.format", "monitor.content")
    )
    token = secret("metrics-token", options["metrics.token_file"], None) if metrics else None
    socket = parse(options["api.socket"]) if options["api.socket"] else None
    found = host_key.load(state.directory(), create=True)
    if found.temporary:
        click.echo(
            f"busted: hashes of findings hold for this run only: {found.temporary}", err=True
        )
    tables = keyed(settings.tables, found.key)
    settings = msgspec.structs.replace(settings, tables=tables)
    scanner = tables.options.scanner
    # From the start on, not only once there is an output.
    private_log.obey(content_filter(content, scanner))
    if settings.record:
        click.echo(f"busted: {settings.record} will hold prompts and keys in plain text", err=True)

    recent = Recent() if socket else None
    originals = kept(options["api.reveal"]) if options["api.reveal"] else None

    def open_output() -> Output:
        return Output(format, content, outputs, scanner, recent, originals)

    @contextlib.contextmanager
    def serve(monitor: Monitor, output: Output) -> Iterator[Callable[[Event], None]]:
        sources = Sources(monitor.lost, output.figures, monitor.kernel_figures)
        history = history_of(outputs)
        with (
            serving(metrics, token, sources) as count,
            listening(socket, monitor, output, recent, cast(Level, content), history, originals),
        ):
            yield count

    lockdown = options["monitor.lockdown"]
    if asyncio.run(_watch(settings, options.file, open_output, serve, lockdown=lockdown)):
        sys.exit(INTERRUPTED)


async def _watch(
    settings: Settings,
    file: ConfigFile,
    open_output: Callable[[], Output],
    serve: Callable[[Monitor, Output], Counting],
    *,
    lockdown: bool,
) -> bool:
    """Run until a signal, the duration's end, or nobody reads any more; True on Ctrl-C."""

    def emit(event: Event) -> None:
        count(event)
        output.write(event)

    monitor = Monitor(settings, emit)
    if lockdown:
        monitor.lock_down()
    # After that: their threads have the privileges that are left.
    output = open_output()
    service = Service()
    if settings.policy or file.path:  # else it ends the monitor, as it ends most programs
        _obey_hang_up(monitor, file, service)
    try:
        with serve(monitor, output) as count:
            return await _run(monitor, output, service)
    finally:
        output.close()
        service.close()


def _obey_hang_up(monitor: Monitor, file: ConfigFile, service: Service) -> None:
    def refused(why: str | None) -> None:
        monitor.config_refused = why

    reload = Reload(file, monitor.learn, refused)

    def hang_up() -> None:
        service.reloading()
        monitor.reload_policy()
        reload.ask(lambda: service.ready(WATCHING))

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)


async def _run(monitor: Monitor, output: Output, service: Service) -> bool:
    monitor.lost_after = output.lost

    def watches() -> None:
        service.ready(WATCHING)
        service.alive()
        monitor.alive = service.alive

    # The first time that the ring was read.
    monitor.alive = watches
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        monitor.stop()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, monitor.stop)
    output.when_closed(lambda: loop.call_soon_threadsafe(monitor.stop))
    try:
        await monitor.run()
    finally:
        service.stopping()
    if monitor.refused:
        click.echo(f"busted: connections refused: {monitor.refused:,}", err=True)
    if lost := monitor.lost():
        click.echo(f"busted: lost {_told(lost)} ({LOSS_PAGE})", err=True)
    return interrupted


def _told(lost: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {place}" for place, count in sorted(lost.items()))

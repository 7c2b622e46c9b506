"""`busted monitor`: watch this host and print what agents say, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, cast, get_args

import click

from busted import state
from busted.agent import host_key, private_log
from busted.agent.config import (
    MAX_CALL_BYTES,
    MAX_FILE_BYTES,
    MAX_RING_BYTES,
    MIN_CALL_BYTES,
    MIN_RING_BYTES,
    Selection,
    Settings,
    Tables,
)
from busted.agent.content import Level
from busted.agent.enforcement import MAX_VERDICT_SECONDS, VERDICT_SECONDS, OnDeny
from busted.agent.file_access import Mode
from busted.agent.flows import Network
from busted.agent.hold import (
    MAX_HOLD_BYTES,
    MAX_HOLD_SECONDS,
    MIN_HOLD_BYTES,
    MIN_HOLD_SECONDS,
    Terms,
)
from busted.agent.local_socket import SocketChoice, history_of
from busted.agent.monitor import Monitor
from busted.cli.configuration import config_option, keyed
from busted.cli.endpoint import Endpoint
from busted.cli.metrics import (
    bpf_stats_option,
    check_metrics,
    metrics_option,
    metrics_token_option,
    serving,
)
from busted.cli.output import (
    Output,
    content_filter,
    content_option,
    format_option,
    output_option,
)
from busted.cli.policy_options import on_error_option, policy_option
from busted.cli.socket import listening, socket_listen_option
from busted.events import Decision, Event
from busted.sinks.kinds import Choice, check_together
from busted.sinks.metric_sources import Sources
from busted.sinks.recent import Recent

Counting = AbstractContextManager[Callable[[Event], None]]

INTERRUPTED = 130
# Says of each place what is counted there, what it means, and what to do.
LOSS_PAGE = "docs/events.md, What is lost"


def _power_of_two(_: click.Context, __: click.Parameter, value: int) -> int:
    if value & (value - 1):
        raise click.BadParameter(f"{value} is not a power of two.")
    return value


@click.command()
@format_option
@content_option
@output_option
@metrics_option
@metrics_token_option
@socket_listen_option
@bpf_stats_option
@config_option
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop after so many seconds.",
)
@click.option("--pid", "pids", type=int, multiple=True, help="Only this process; repeatable.")
@click.option(
    "--comm",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only processes of this name; repeatable.",
)
@click.option(
    "--file-monitor",
    "files",
    type=click.Choice(get_args(Mode)),
    is_flag=False,
    flag_value="all",
    metavar="[MODE]",
    help="Also tell which files agents use, and who touches sensitive ones; with `sensitive`, "
    "sensitive files only. It costs every system call of the host a little.",
)
@click.option(
    "--max-file-bytes",
    type=click.IntRange(0, MAX_FILE_BYTES),
    default=Settings().max_file_bytes,
    show_default=True,
    help="What is told of the content of one open file, with --file-monitor; 0 for nothing.",
)
@click.option(
    "--network",
    type=click.Choice(["all", "ai", "none"]),
    default=Settings().network,
    show_default=True,
    help="Which connections are told: all, those of AI agents and to AI providers, or none.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write what the kernel says to a new file, for `busted replay`. It holds everything "
    "in plain text, whatever --content says; only its owner can read it.",
)
@policy_option
@on_error_option
@click.option(
    "--audit-log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also append every decision to this file, each line tied to the one before, for `busted "
    "audit verify`; needs --policy.",
)
@click.option(
    "--enforce",
    is_flag=True,
    help="Stop what the policy denies, see docs/enforcement.md; needs --policy. What policy cannot "
    "be asked about is then denied, unless --on-error says otherwise.",
)
@click.option(
    "--shadow",
    is_flag=True,
    help="Tell what --enforce would do, and touch nothing; needs --policy.",
)
@click.option(
    "--on-deny",
    type=click.Choice(["reset", "kill"]),
    help="What to do when what was denied has been sent: destroy its connection, or kill its "
    "process.  [default: reset]",
)
@click.option(
    "--verdict-seconds",
    type=click.FloatRange(min=0, max=MAX_VERDICT_SECONDS, min_open=True),
    metavar="SECONDS",
    help="How long the kernel refuses connections to a place that was denied, after the last "
    f"denial.  [default: {VERDICT_SECONDS:g}]",
)
@click.option(
    "--deny-link-local",
    is_flag=True,
    help="Let connections to addresses of the link (169.254.0.0/16, fe80::/10) be refused, too.",
)
@click.option(
    "--identity-store",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the identities of agents in this file, for the next run and `busted identities`. It "
    "holds no content; only its owner can read it.",
)
@click.option(
    "--no-hold",
    is_flag=True,
    help="Do not have requests wait for their decision: what is denied is stopped after it was "
    "sent.",
)
@click.option(
    "--hold-seconds",
    type=click.FloatRange(min=MIN_HOLD_SECONDS, max=MAX_HOLD_SECONDS),
    metavar="SECONDS",
    help="How long a request may wait for its decision, and for its own end, before it is given "
    f"up.  [default: {Terms().seconds:g}]",
)
@click.option(
    "--hold-bytes",
    type=click.IntRange(MIN_HOLD_BYTES, MAX_HOLD_BYTES),
    metavar="BYTES",
    help=f"How much of one request may wait.  [default: {Terms().bytes}]",
)
@click.option(
    "--hold-timeout-action",
    type=click.Choice(["open", "closed"]),
    help="What becomes of a request that is longer, takes longer, or was not seen whole: it is "
    "sent undecided, or its connection is ended.  [default: closed]",
)
@click.option(
    "--buffer",
    type=click.Choice(["ring", "perf"]),
    help="Through what the kernel hands over records: a ring buffer (Linux 5.8) or perf buffers, "
    "one a CPU.  [default: ring where the kernel has it]",
)
@click.option(
    "--ring-bytes",
    type=click.IntRange(MIN_RING_BYTES, MAX_RING_BYTES),
    callback=_power_of_two,
    default=Settings().ring_bytes,
    show_default=True,
    help="Size of the buffer between the kernel and the monitor, a power of two; of perf buffers, "
    "together.",
)
@click.option(
    "--max-call-bytes",
    type=click.IntRange(MIN_CALL_BYTES, MAX_CALL_BYTES),
    default=Settings().max_call_bytes,
    show_default=True,
    help="What is read of one write or read of the TLS library; more is told as truncated.",
)
@click.option(
    "--no-lockdown",
    is_flag=True,
    help="Keep all privileges after the start, to debug the monitor itself.",
)
def monitor(
    format: str,
    content: str,
    choices: tuple[Choice, ...],
    metrics: Endpoint | None,
    metrics_token: Path | None,
    socket: SocketChoice | None,
    bpf_stats: bool,
    tables: Tables,
    duration: float | None,
    pids: tuple[int, ...],
    names: tuple[str, ...],
    files: Mode | None,
    max_file_bytes: int,
    network: Network,
    record: Path | None,
    identity_store: Path | None,
    policy: Path | None,
    on_error: Decision | None,
    audit_log: Path | None,
    enforce: bool,
    shadow: bool,
    on_deny: OnDeny | None,
    verdict_seconds: float | None,
    deny_link_local: bool,
    no_hold: bool,
    hold_seconds: float | None,
    hold_bytes: int | None,
    hold_timeout_action: Literal["open", "closed"] | None,
    buffer: Literal["ring", "perf"] | None,
    ring_bytes: int,
    max_call_bytes: int,
    no_lockdown: bool,
) -> None:
    """Watch this host and print what AI agents say and do, until Ctrl-C.

    Needs root, or the capabilities in docs/privileges.md. Exits with 3 where the kernel or the
    privileges do not allow it.
    """
    if policy is None and (on_error or audit_log):
        raise click.UsageError("--on-error and --audit-log need --policy.")
    if policy is None and (enforce or shadow):
        raise click.UsageError("--enforce and --shadow need --policy.")
    if (enforce or shadow) and network == "none":
        raise click.UsageError("--enforce and --shadow need connections: not --network none.")
    if not (enforce or shadow) and (on_deny or verdict_seconds or deny_link_local):
        raise click.UsageError(
            "--on-deny, --verdict-seconds and --deny-link-local need --enforce or --shadow."
        )
    is_held = enforce and not shadow and not no_hold
    if not is_held and (hold_seconds or hold_bytes or hold_timeout_action):
        raise click.UsageError(
            "--hold-seconds, --hold-bytes and --hold-timeout-action need --enforce, without "
            "--shadow and --no-hold."
        )
    found = host_key.load(state.directory(), create=True)
    if found.temporary:
        click.echo(
            f"busted: hashes of findings hold for this run only: {found.temporary}", err=True
        )
    tables = keyed(tables, found.key)
    scanner = tables.options.scanner
    # From the start on, not only once there is an output.
    private_log.obey(content_filter(content, scanner))
    settings = Settings(
        buffer=buffer,
        ring_bytes=ring_bytes,
        max_call_bytes=max_call_bytes,
        duration=duration,
        selection=Selection(frozenset(pids), frozenset(names)),
        record=record,
        identity_store=identity_store,
        network=network,
        files=files,
        max_file_bytes=max_file_bytes,
        policy=policy,
        on_error=on_error or ("deny" if enforce or shadow else Settings().on_error),
        audit_log=audit_log,
        enforcement="shadow" if shadow else "on" if enforce else "off",
        on_deny=on_deny or Settings().on_deny,
        verdict_seconds=verdict_seconds or Settings().verdict_seconds,
        deny_link_local=deny_link_local,
        bpf_stats=bpf_stats,
        hold=Terms(
            seconds=hold_seconds or Terms().seconds,
            bytes=hold_bytes or Terms().bytes,
            fails_open=hold_timeout_action == "open",
        )
        if is_held
        else None,
        tables=tables,
    )
    if record:
        click.echo(f"busted: {record} will hold prompts and keys in plain text", err=True)
    outputs = (*tables.outputs, *choices)
    check_together(outputs)
    token = check_metrics(metrics, metrics_token)

    recent = Recent() if socket else None

    def open_output() -> Output:
        return Output(format, content, outputs, scanner, recent)

    @contextlib.contextmanager
    def serve(monitor: Monitor, output: Output) -> Iterator[Callable[[Event], None]]:
        with (
            serving(
                metrics, token, Sources(monitor.lost, output.figures, monitor.kernel_figures)
            ) as count,
            listening(socket, monitor, output, recent, cast(Level, content), history_of(outputs)),
        ):
            yield count

    if asyncio.run(_watch(settings, open_output, serve, lockdown=not no_lockdown)):
        sys.exit(INTERRUPTED)


async def _watch(
    settings: Settings,
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
    if settings.policy:  # else it ends the monitor, as it ends most programs
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, monitor.reload_policy)
    try:
        with serve(monitor, output) as count:
            return await _run(monitor, output)
    finally:
        output.close()


async def _run(monitor: Monitor, output: Output) -> bool:
    monitor.lost_after = output.lost
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        monitor.stop()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, monitor.stop)
    output.when_closed(lambda: loop.call_soon_threadsafe(monitor.stop))
    await monitor.run()
    if monitor.refused:
        click.echo(f"busted: connections refused: {monitor.refused:,}", err=True)
    if lost := monitor.lost():
        click.echo(f"busted: lost {_told(lost)} ({LOSS_PAGE})", err=True)
    return interrupted


def _told(lost: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {place}" for place, count in sorted(lost.items()))

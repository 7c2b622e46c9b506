"""`busted identities`: what is known of the agents on this host, from an identity store or from
the monitor that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
import msgspec

from busted.agent import socket_client
from busted.agent.embedding import model_hash
from busted.agent.identities import Told, called, tell
from busted.agent.socket_messages import IdentitiesRequest
from busted.cli.socket import socket_option
from busted.identity.graph import Behaviour, mermaid
from busted.identity.store import IdentityStore, StoreError

# Asks for the identity of a name, or for all, each with its graph where that is wanted.
Ask = Callable[[str | None, bool], list[Told]]


@click.command()
@click.argument("identity", required=False)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What `busted monitor --identity-store FILE` keeps.  [default: the monitor is asked]",
)
@socket_option
@click.option("--timeline", is_flag=True, help="What it did, and when.")
@click.option("--graph", is_flag=True, help="Whom it started, uses and calls; what came of calls.")
@click.option("--forget", is_flag=True, help="Delete all that is known of it; needs --store.")
@click.option(
    "--model-hash",
    "model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Print the hash of a model's directory, for `[embed]` in the configuration file.",
)
@click.option(
    "--format",
    type=click.Choice(["text", "json", "mermaid"]),
    default="text",
    show_default=True,
    help="Lines for people, one JSON object a line, or the graph as a flowchart.",
)
def identities(
    identity: str | None,
    store: Path | None,
    socket: Path,
    timeline: bool,
    graph: bool,
    forget: bool,
    model: Path | None,
    format: str,
) -> None:
    """List the agents that were seen, or show one: IDENTITY is its name or how its id begins."""
    if model is not None:
        click.echo(model_hash(model))
        return
    if identity is None and (timeline or forget):
        raise click.UsageError("Say which one: an identity's name, or how its id begins.")
    if forget and store is None:
        raise click.UsageError("--forget needs --store: what a monitor knows is not deleted.")
    if store is None:
        _show(
            lambda name, graph: _from_monitor(socket, name, timeline, graph),
            identity,
            graph,
            format,
        )
        return
    if not store.exists():
        raise StoreError(
            f"there is no identity store {store}: busted monitor --identity-store {store} makes one"
        )
    with closing(IdentityStore(store)) as opened:
        if opened.fresh_because:
            click.echo(f"busted: {opened.fresh_because}", err=True)
        if forget:
            (one,) = _from_store(opened, identity, False, False)
            opened.forget(one.id)
            click.echo(f"forgot {one.name} ({one.id})")
        else:
            _show(
                lambda name, graph: _from_store(opened, name, timeline, graph),
                identity,
                graph,
                format,
            )


def _show(ask: Ask, identity: str | None, graph: bool, format: str) -> None:
    found = ask(identity, graph or format == "mermaid")
    if format == "json":
        for told in found:
            click.echo(msgspec.json.encode(told))
        return
    # Links name the others by their ids.
    linked = any(told.links for told in found)
    names = {told.id: told.name for told in ask(None, False)} if linked else {}
    if format == "mermaid":
        links = sorted({link for told in found for link in told.links}, key=msgspec.structs.astuple)
        click.echo(mermaid(links, lambda end: names.get(end, end)), nl=False)
        return
    for told in found:
        lines = _line(told) if identity is None else _lines(told, names)
        click.echo("\n".join(lines))


def _from_monitor(path: Path, name: str | None, timeline: bool, graph: bool) -> list[Told]:
    request = IdentitiesRequest(identity=name, timeline=timeline, graph=graph)
    lines = socket_client.identities(path, request)
    return [msgspec.json.decode(line, type=Told) for line in lines]


def _from_store(store: IdentityStore, name: str | None, timeline: bool, graph: bool) -> list[Told]:
    try:
        profiles = (
            list(store.identities())
            if name is None
            else [called(store.find(name), name, str(store.path))]
        )
    except ValueError as error:
        raise StoreError(str(error)) from error
    return [
        tell(
            profile,
            store.timeline(profile.id),
            store.behaviour(profile.id) if graph else Behaviour(),
            store.links(profile.id) if graph else (),
            timeline=timeline,
        )
        for profile in profiles
    ]


def _line(told: Told) -> Iterator[str]:
    doubt = "  does not fit" if told.findings else ""
    yield f"{told.id}  {_short(told.last_seen)}  {told.name}{doubt}"


def _lines(told: Told, names: dict[str, str]) -> Iterator[str]:
    yield f"{told.name} ({told.id})"
    yield f"    {told.narrative}"
    yield f"    seen {_short(told.first_seen)} to {_short(told.last_seen)}, {told.events} events"
    for what, values in (
        ("program", (told.program,) if told.program else ()),
        ("run by", told.principals),
        ("models", told.models),
        ("asks", told.destinations),
        ("sdks", told.sdks),
        ("tools", told.tools),
        ("build ids", told.build_ids),
        ("images", told.images),
        ("runs as", told.workloads),
    ):
        if values:
            yield f"    {what}: {', '.join(values)}"
    for finding in told.findings:
        yield f"    does not fit ({finding['kind']}): {finding['detail']}"
    for entry in told.timeline:
        yield f"    {_short(entry['time'])}  {entry['instance']}  {entry['kind']} {entry['what']}"
    for link in told.links:
        ends = (names.get(end, end) for end in (link.source, link.target))
        yield f"    {f' {link.kind} '.join(ends)} x{link.count} (confidence {link.confidence:.2f})"
    for call in told.calls:
        came = ", ".join(f"{e.kind} {e.what} ({e.confidence:.2f})" for e in call.effects)
        yield f"    call of {call.tool}: {came or 'nothing was seen to come of it'}"
    for done in told.undeclared:
        yield f"    {done['kind']} {done['what']}: no call asked for it"


def _short(time: str) -> str:
    return time[:19].replace("T", " ")

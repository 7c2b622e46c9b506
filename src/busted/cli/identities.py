"""`busted identities`: what is known of the agents on this host, from an identity store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.agent.clock import Clock
from busted.agent.embedding import model_hash
from busted.identity import timeline as timelines
from busted.identity.graph import Behaviour, Call, Link, mermaid
from busted.identity.narrative import narrative
from busted.identity.profile import Profile
from busted.identity.store import IdentityStore, StoreError
from busted.identity.timeline import Entry

# Gives times as events have them, of nanoseconds since 1970.
time_of = Clock(0, 0).time


class Told(msgspec.Struct, omit_defaults=True):
    """One identity as `--format json` prints it. Times are RFC 3339, in UTC."""

    id: str
    name: str
    first_seen: str
    last_seen: str
    narrative: str
    agent: str | None = None
    program: str | None = None
    principals: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    sdks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    build_ids: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    events: int = 0
    instances: int = 0
    findings: tuple[dict[str, str], ...] = ()
    behaviour: str | None = None
    timeline: tuple[dict[str, Any], ...] = ()
    links: tuple[Link, ...] = ()
    calls: tuple[Call, ...] = ()
    unseen: tuple[Call, ...] = ()
    undeclared: tuple[dict[str, Any], ...] = ()


@click.command()
@click.argument("identity", required=False)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What `busted monitor --identity-store FILE` keeps.",
)
@click.option("--timeline", is_flag=True, help="What it did, and when.")
@click.option("--graph", is_flag=True, help="Whom it started, uses and calls; what came of calls.")
@click.option("--forget", is_flag=True, help="Delete all that is known of it.")
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
    if store is None:
        raise click.UsageError("Say which store: --store FILE.")
    if identity is None and (timeline or forget):
        raise click.UsageError("Say which one: an identity's name, or how its id begins.")
    if not store.exists():
        raise StoreError(
            f"there is no identity store {store}: busted monitor --identity-store {store} makes one"
        )
    opened = IdentityStore(store)
    try:
        if opened.fresh_because:
            click.echo(f"busted: {opened.fresh_because}", err=True)
        found = list(opened.identities()) if identity is None else [_one(opened, identity)]
        if forget:
            opened.forget(found[0].id)
            click.echo(f"forgot {found[0].name} ({found[0].id})")
        elif format == "mermaid":
            names = {profile.id: profile.name for profile in opened.identities()}
            links = opened.links(found[0].id if identity else None)
            click.echo(mermaid(links, lambda end: names.get(end, end)), nl=False)
        else:
            alone = identity is not None
            for profile in found:
                told = _told(opened, profile, timeline, graph)
                if format == "json":
                    click.echo(msgspec.json.encode(told))
                else:
                    click.echo("\n".join(_lines(told, opened) if alone else _line(told)))
    finally:
        opened.close()


def _one(store: IdentityStore, identity: str) -> Profile:
    found = store.find(identity)
    if not found:
        raise StoreError(f"no identity in {store.path} is called {identity!r}")
    if len(found) > 1:
        several = ", ".join(f"{profile.name} ({profile.id})" for profile in found[:5])
        raise StoreError(f"{identity!r} may be {several}: give more of the id")
    return found[0]


def _told(store: IdentityStore, profile: Profile, timeline: bool, graph: bool) -> Told:
    entries = store.timeline(profile.id)
    behaviour = store.behaviour(profile.id) if graph else Behaviour()
    return Told(
        id=profile.id,
        name=profile.name,
        first_seen=time_of(profile.first_ns),
        last_seen=time_of(profile.last_ns),
        narrative=narrative(profile),
        agent=profile.agent or None,
        program=profile.program.key or None,
        principals=profile.principals,
        models=profile.models,
        destinations=profile.destinations,
        sdks=profile.sdks,
        tools=profile.tools,
        build_ids=tuple(build.build_id for build in profile.builds),
        images=profile.images,
        workloads=profile.workloads,
        events=profile.events,
        instances=profile.instances,
        findings=tuple({"kind": one.kind, "detail": one.detail} for one in profile.findings),
        behaviour=timelines.digest(entries) or None,
        timeline=tuple(map(_entry, entries)) if timeline else (),
        links=store.links(profile.id) if graph else (),
        calls=behaviour.calls,
        unseen=behaviour.unseen,
        undeclared=tuple(
            {"kind": one.kind, "what": one.what, "time": time_of(one.time_ns)}
            for one in behaviour.undeclared
        ),
    )


def _entry(entry: Entry) -> dict[str, Any]:
    told = {"time": time_of(entry.time_ns), "kind": entry.kind, "what": entry.what}
    told["instance"] = entry.instance
    return told | ({"exchange": entry.exchange} if entry.exchange else {})


def _line(told: Told) -> Iterator[str]:
    doubt = "  does not fit" if told.findings else ""
    yield f"{told.id}  {_short(told.last_seen)}  {told.name}{doubt}"


def _lines(told: Told, store: IdentityStore) -> Iterator[str]:
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
    names = {profile.id: profile.name for profile in store.identities()} if told.links else {}
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

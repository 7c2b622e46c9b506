"""What is told of an identity: by `busted identities`, and over the monitor's socket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from busted.agent.clock import Clock
from busted.agent.socket_messages import IdentitiesRequest
from busted.identity import timeline as timelines
from busted.identity.graph import Behaviour, Call, Link
from busted.identity.narrative import narrative
from busted.identity.profile import Profile
from busted.identity.timeline import Entry
from busted.identity.tracker import IdentityTracker

# Gives times as events have them, of nanoseconds since 1970.
time_of = Clock(0, 0).time


class Told(msgspec.Struct, omit_defaults=True):
    """One identity, as JSON has it. Times are RFC 3339, in UTC."""

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


def tell(
    profile: Profile,
    entries: Sequence[Entry],
    behaviour: Behaviour = Behaviour(),  # noqa: B008  (frozen)
    links: tuple[Link, ...] = (),
    *,
    timeline: bool = False,
) -> Told:
    """Return what is known of an identity; `entries` are all of its timeline."""
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
        links=links,
        calls=behaviour.calls,
        unseen=behaviour.unseen,
        undeclared=tuple(
            {"kind": one.kind, "what": one.what, "time": time_of(one.time_ns)}
            for one in behaviour.undeclared
        ),
    )


def tell_asked(known: IdentityTracker, request: IdentitiesRequest) -> list[Told]:
    """Return the identities in memory that are asked for. Raises ValueError."""
    profiles = known.identities()
    if request.identity is not None:
        profiles = [called(profiles, request.identity, "memory")]
    links: defaultdict[str, list[Link]] = defaultdict(list)
    for link in known.graph.links() if request.graph else ():
        for end in {link.source, link.target}:
            links[end].append(link)
    return [
        tell(
            profile,
            known.timeline(profile.id),
            known.behaviour(profile.id) if request.graph else Behaviour(),
            tuple(links[profile.id]),
            timeline=request.timeline,
        )
        for profile in profiles[: request.limit]
    ]


def _entry(entry: Entry) -> dict[str, Any]:
    told = {"time": time_of(entry.time_ns), "kind": entry.kind, "what": entry.what}
    told["instance"] = entry.instance
    return told | ({"exchange": entry.exchange} if entry.exchange else {})


def called(profiles: Iterable[Profile], name: str, where: str) -> Profile:
    """Return the one whose id begins with a text, or whose name it is. Raises ValueError."""
    found = [one for one in profiles if one.id.startswith(name) or one.name == name]
    if not found:
        raise ValueError(f"no identity in {where} is called {name!r}")
    if len(found) > 1:
        several = ", ".join(f"{profile.name} ({profile.id})" for profile in found[:5])
        raise ValueError(f"{name!r} may be {several}: give more of the id")
    return found[0]

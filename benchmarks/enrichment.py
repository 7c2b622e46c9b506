"""What it takes to tell an event's user, container and pod, once they are known.

`python -m benchmarks.enrichment` measures only this, and needs no root.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.table import Table, median
from busted.enrich.containers import Cgroup, CgroupFacts, Containers
from busted.enrich.pods import PodFacts
from busted.enrich.runtime_files import ContainerFacts
from busted.enrich.users import UserFacts, Users
from busted.events import Coverage, Event, Process

ID = "ab" * 32
UID = "0b3e7a34-9a1c-4f0e-8a55-0123456789ab"
CGROUPS = {
    "outside of containers": Cgroup(),
    "in a container": Cgroup(ID, "docker"),
    "in a pod": Cgroup(ID, "containerd", UID),
}
# Calls for one of the plan's: these are shorter than what it is made for.
CALLS = 200


def enrichers() -> tuple[Callable[[Event], Event], ...]:
    """Return those of the monitor that this is about, with all of it known."""
    users, containers = Users(passwd=None), Containers()
    users.learn(UserFacts(1000, "alice"))
    containers.learn(ContainerFacts(ID, "docker", "web", "shop/web:3"))
    containers.pods.learn(PodFacts(UID, "web-0", "shop", "web", "StatefulSet/web", {"app": "web"}))
    for number, cgroup in enumerate(CGROUPS.values()):
        containers.learn(CgroupFacts(cgroup, cgroup_id=str(number)))
    return users, containers


def microseconds(event: Event, calls: int) -> float:
    """Return what one event takes."""
    users, containers = enrichers()
    start = time.thread_time_ns()
    for _ in range(calls):
        containers(users(event))
    return (time.thread_time_ns() - start) / 1e3 / calls


def table(plan: Plan) -> Table:
    """Measure, and return microseconds by where the process runs."""
    events = [
        Event(
            schema=1,
            id="1",
            time="",
            host="host",
            process=Process(pid=7, name="node", uid=1000, start_time="", cgroup_id=str(number)),
            action=Coverage(),
        )
        for number in range(len(CGROUPS))
    ]
    rounds = [
        [microseconds(event, plan.classify_calls * CALLS) for event in events]
        for _ in range(plan.classify_rounds)
    ]
    return Table(
        "Telling user, container and pod of an event",
        f"Microseconds of one thread's processor time, median of {plan.classify_rounds} rounds, "
        "with everything known. Goal: under 5.",
        ("process", "us"),
        tuple(
            (where, median(measured))
            for where, measured in zip(CGROUPS, zip(*rounds, strict=True), strict=True)
        ),
    )


if __name__ == "__main__":
    print(table(QUICK if "--quick" in sys.argv else FULL).markdown())

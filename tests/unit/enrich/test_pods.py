"""What is kept of pods, and what an event gets of it."""

from __future__ import annotations

import pytest

from busted.enrich.pods import PodFacts, Pods
from busted.events import Process

UID, ID = "0b3e7a34-9a1c-4f0e-8a55-0123456789ab", "ab" * 32
POD = PodFacts(
    UID,
    "web-0",
    "shop",
    service_account="web",
    owner="StatefulSet/web",
    labels={"app": "web"},
    containers={ID: ("server", "shop/web:3")},
)
PROCESS = Process(pid=7, name="node", container_id=ID)


def test_a_process_gets_what_is_known_of_its_pod() -> None:
    pods = Pods()
    pods.learn(POD)

    process = pods.add(PROCESS, UID)
    assert (process.pod, process.namespace, process.owner) == ("web-0", "shop", "StatefulSet/web")
    assert (process.service_account, process.labels) == ("web", {"app": "web"})
    assert (process.container_name, process.image) == ("server", "shop/web:3")
    assert (process.pid, process.container_id) == (7, ID)


def test_what_the_runtime_said_of_the_container_stays() -> None:
    pods = Pods()
    pods.learn(POD)

    known = Process(pid=7, name="node", container_id=ID, container_name="web", image="web@sha256:0")
    process = pods.add(known, UID)
    assert (process.container_name, process.image) == ("web", "web@sha256:0")


@pytest.mark.parametrize(("expected", "late"), [(False, 0), (True, 2)])
def test_what_is_not_there_yet_is_counted_where_somebody_was_to_tell(
    expected: bool, late: int
) -> None:
    pods = Pods(expected=expected)
    assert pods.add(PROCESS, UID) == pods.add(PROCESS, UID) == PROCESS
    pods.learn(POD)
    pods.add(PROCESS, UID)

    assert pods.late == late


def test_a_deleted_pod_is_known_for_events_that_come_late() -> None:
    pods = Pods()
    pods.learn(POD)
    pods.learn(PodFacts(UID, deleted=True))

    assert pods.add(PROCESS, UID).pod == "web-0"


def test_a_pod_that_was_never_known_is_not_known_when_it_is_deleted() -> None:
    pods = Pods()
    pods.learn(PodFacts(UID, deleted=True))

    assert pods.add(PROCESS, UID) == PROCESS


def test_deleted_pods_make_room_first_then_the_oldest() -> None:
    pods = Pods(max_pods=2)
    for uid in ("one", "two"):
        pods.learn(PodFacts(uid, uid))
    pods.learn(PodFacts("two", deleted=True))
    pods.learn(PodFacts("three", "three"))
    assert [pods.add(PROCESS, uid).pod for uid in ("one", "two", "three")] == ["one", None, "three"]

    pods.learn(PodFacts("four", "four"))
    assert [pods.add(PROCESS, uid).pod for uid in ("one", "three", "four")] == [
        None,
        "three",
        "four",
    ]

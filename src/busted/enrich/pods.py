"""What Kubernetes says of the pods on this node, kept for when events ask.

A pod is known by its uid, which is in the path of its containers' control groups, so an event
needs nothing but a look into a table. What is not there yet is not waited for: the event goes on
without, and is counted. The table outlives the API server; a pod that was deleted goes first when
there is no room for another.

Left out: who fills the table, which is `pod_watch`.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from busted.events import Process

# The kubelet runs 110 pods unless told otherwise, and large nodes 500; the rest are those of the
# last hours, for events that come late.
MAX_PODS = 2048


class PodFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pod as the API server has it; `containers` has the image and name of each by its id."""

    uid: str
    name: str = ""
    namespace: str = ""
    service_account: str | None = None
    owner: str | None = None
    labels: dict[str, str] = {}
    containers: dict[str, tuple[str, str]] = {}
    deleted: bool = False


class Pods:
    """The pods known, by uid."""

    def __init__(self, expected: bool = False, max_pods: int = MAX_PODS) -> None:
        """`expected`: somebody fills it, so that what is missing is late."""
        self.late = 0
        """Events of pods that went on without what Kubernetes knows of them."""
        self._expected, self._max = expected, max_pods
        self._pods: dict[str, PodFacts] = {}
        self._deleted: dict[str, None] = {}

    def learn(self, facts: PodFacts) -> None:
        """Take what was told of a pod, now or in a recording."""
        known = self._pods.pop(facts.uid, None)
        self._deleted.pop(facts.uid, None)
        if facts.deleted:
            if known is None:
                return
            # What was known stays, for events that come late.
            facts = known
            self._deleted[facts.uid] = None
        self._pods[facts.uid] = facts
        if len(self._pods) > self._max:
            oldest = next(iter(self._deleted or self._pods))
            self._deleted.pop(oldest, None)
            del self._pods[oldest]

    def add(self, process: Process, uid: str) -> Process:
        """Return a process with what is known of its pod."""
        pod = self._pods.get(uid)
        if pod is None:
            self.late += self._expected
            return process
        name, image = pod.containers.get(process.container_id or "", (None, None))
        return replace(
            process,
            pod=pod.name,
            namespace=pod.namespace,
            service_account=pod.service_account,
            owner=pod.owner,
            labels=pod.labels,
            container_name=process.container_name or name,
            image=process.image or image,
        )

"""Follows the pods of this node at the API server, in a thread of its own.

A list, then a watch from where the list ended; when that fails, after a while, both again. Only
this node's pods are asked for, so a large cluster costs each node its own part. The thread hands
what it learns to whoever calls `take`, and knows nothing of events: an API server that is slow or
away makes pods old or late, and nothing else.

It needs to list and watch pods, no more. What made a pod is told by names, so that nothing else
need be read: a Deployment's ReplicaSet is called as the Deployment, a dash and the hash in the
label `pod-template-hash`, and a CronJob's Job as the CronJob, a dash and the minute.

Left out: namespaces' and nodes' labels, which other permissions would be needed for.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from busted.enrich.pods import PodFacts

if TYPE_CHECKING:
    from lightkube import Client
    from lightkube.core.client import FieldSelector as Fields
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Pod

log = logging.getLogger(__name__)

# Where pods find the token of their service account, if one is mounted
# (kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# Before asking again, at first and at most: as client-go's reflector does.
FIRST_SECONDS, MAX_SECONDS = 0.8, 30.0
# Between two requests on a connection, at least.
ASK_SECONDS = 0.5
# The server ends a watch after so long, and it is asked for anew.
WATCH_SECONDS = 300
# For a connection, and for the answer to a list.
TIMEOUT_SECONDS = 10.0
# A watch is silent for minutes: the kernel asks whether the other end is still there, and gives the
# connection up after a minute without an answer (tcp(7)).
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
# What an event carries of labels: names have 317 characters at most and values 63.
MAX_LABELS = 32

# batch/v1 cronjob_controllerv2.go: the name and, in minutes since 1970, when it was due.
_CRON_JOB = re.compile(r"(.+)-\d{8}")


class KubernetesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Kubernetes is asked for the pods of this node: the table `kubernetes` of the file."""

    # "auto": where a service account is mounted, or a kubeconfig is given.
    enabled: Literal["auto", "on", "off"] = "auto"
    # The name of this node; empty: what NODE_NAME says, else the host's name.
    node: str = ""
    # Which labels of pods events tell; values may hold anything.
    labels: tuple[str, ...] = ()
    # How to reach the API server; empty: as a pod does, by its service account.
    kubeconfig: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether there is an API server to ask, as far as settings and surroundings tell."""
        if self.enabled == "auto":
            in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and TOKEN.exists()
            return bool(self.kubeconfig) or in_cluster
        return self.enabled == "on"

    @property
    def node_name(self) -> str:
        """The name that this node has in Kubernetes."""
        return self.node or os.environ.get("NODE_NAME") or socket.gethostname().lower()


def is_installed() -> bool:
    """Tell whether the extra `k8s` is there."""
    return importlib.util.find_spec("lightkube") is not None


class PodWatch:
    """Follows the pods of one node from `start` on."""

    def __init__(self, settings: KubernetesSettings) -> None:
        """Nothing is asked yet."""
        self._settings = settings
        self._known: dict[str, PodFacts] = {}
        # What is still to be taken: of each pod what is known last, so it cannot grow beyond those.
        self._found: dict[str, PodFacts] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pods", daemon=True)
        self._client: Client | None = None
        self.trouble: str | None = None
        """Why the API server's word is old or missing; None while it is neither."""

    def start(self) -> None:
        """Begin to follow; not before the thread may have the privileges that it will keep."""
        self._thread.start()

    def take(self) -> Iterable[PodFacts]:
        """Return what was learned since the last call, in order."""
        if not self._found:
            return ()
        with self._lock:
            found, self._found = self._found, {}
        return found.values()

    def close(self) -> None:
        """Stop following; an answer that is still waited for is not."""
        self._stopped.set()

    def _run(self) -> None:
        wait = FIRST_SECONDS
        while not self._stopped.is_set():
            try:
                for _ in self._follow():
                    wait = FIRST_SECONDS
                    if self._stopped.is_set():
                        return
            except Exception as error:
                # Whatever an API server, a proxy or a file does: ask again, later.
                told = f"{type(error).__name__}: {error}".splitlines()[0]
                if self.trouble is None:
                    log.warning("Kubernetes: %s; trying again", told)
                self.trouble = told
            # Half of it is chance, so that not all nodes ask at once.
            self._stopped.wait(wait * random.uniform(0.5, 1.0))
            wait = min(2 * wait, MAX_SECONDS)

    def _follow(self) -> Iterable[None]:
        """Learn the pods there are, and what becomes of them; yields at each answer."""
        from lightkube.resources.core_v1 import Pod

        # Anew each time: tokens of service accounts are replaced every hour.
        client = self._connect()
        try:
            fields: Fields = {"spec.nodeName": self._settings.node_name}
            listed = client.list(Pod, namespace="*", fields=fields)
            there = set()
            for pod in listed:
                there.add(self._learn(pod))
            for uid in self._known.keys() - there:
                self._forget(uid)
            self.trouble = None
            yield
            for operation, pod in client.watch(
                Pod,
                namespace="*",
                fields=fields,
                resource_version=listed.resourceVersion,
                server_timeout=WATCH_SECONDS,
            ):
                if operation == "DELETED":
                    self._forget(_uid(_metadata(pod)))
                elif operation in ("ADDED", "MODIFIED"):
                    self._learn(pod)
                yield
        finally:
            client.close()

    def _connect(self) -> Client:
        import httpx2
        from lightkube import Client, KubeConfig
        from lightkube.config.client_adapter import verify_cluster

        wait = self._stopped.wait

        class Transport(httpx2.HTTPTransport):
            """A watch that ends is asked for anew at once: not if they all end at once."""

            asked = float("-inf")

            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                if wait(max(0.0, self.asked + ASK_SECONDS - time.monotonic())):
                    raise httpx2.RequestError("the monitor ends", request=request)
                self.asked = time.monotonic()
                return super().handle_request(request)

        if self._settings.kubeconfig:
            config = KubeConfig.from_file(self._settings.kubeconfig).get()
        else:
            config = KubeConfig.from_service_account().get()
        if config is None or config.user is None:
            raise ValueError(f"{self._settings.kubeconfig} names no user")
        transport = Transport(
            verify=verify_cluster(config.cluster, config.user, config.abs_file, trust_env=False),
            socket_options=_KEEP_ALIVE,
        )
        timeout = httpx2.Timeout(TIMEOUT_SECONDS)
        # Proxies that the environment names are for programs that go out.
        return Client(config=config, timeout=timeout, transport=transport, trust_env=False)

    def _learn(self, pod: Pod) -> str:
        facts = facts_of(pod, self._settings.labels)
        # Most changes are of its status, which no event tells.
        if self._known.get(facts.uid) != facts:
            self._known[facts.uid] = facts
            self._tell(facts)
        return facts.uid

    def _forget(self, uid: str) -> None:
        if self._known.pop(uid, None):
            self._tell(PodFacts(uid, deleted=True))

    def _tell(self, facts: PodFacts) -> None:
        with self._lock:
            self._found.pop(facts.uid, None)
            self._found[facts.uid] = facts


def facts_of(pod: Pod, labels: Iterable[str]) -> PodFacts:
    """Return what an event may tell of a pod; of its labels only these."""
    spec, status = pod.spec, pod.status
    metadata = _metadata(pod)
    given: Mapping[str, str] = metadata.labels or {}
    told = [name for name in labels if name in given][:MAX_LABELS]
    return PodFacts(
        _uid(metadata),
        metadata.name or "",
        metadata.namespace or "",
        service_account=spec.serviceAccountName if spec else None,
        owner=_owner(metadata),
        labels={name: given[name] for name in told},
        containers={
            # "containerd://<id>"; absent until it was started.
            container.containerID.rpartition("//")[2]: (container.name, container.image)
            for container in (
                *((status and status.initContainerStatuses) or ()),
                *((status and status.containerStatuses) or ()),
                *((status and status.ephemeralContainerStatuses) or ()),
            )
            if container.containerID
        },
    )


def _metadata(pod: Pod) -> ObjectMeta:
    from lightkube.models.meta_v1 import ObjectMeta

    return pod.metadata or ObjectMeta()


def _uid(metadata: ObjectMeta) -> str:
    # A static pod has another uid at the API server; its control groups have that of its file.
    notes = metadata.annotations or {}
    return notes.get("kubernetes.io/config.mirror") or metadata.uid or ""


def _owner(metadata: ObjectMeta) -> str | None:
    """Return what made a pod, as "Kind/name"; one level above it where names tell."""
    made_by = next((o for o in metadata.ownerReferences or () if o.controller), None)
    if made_by is None:
        return None
    kind, name = made_by.kind, made_by.name
    hashed = (metadata.labels or {}).get("pod-template-hash")
    if kind == "ReplicaSet" and hashed and name.endswith(f"-{hashed}"):
        return f"Deployment/{name.removesuffix(f'-{hashed}')}"
    if kind == "Job" and (match := _CRON_JOB.fullmatch(name)):
        return f"CronJob/{match[1]}"
    return f"{kind}/{name}"

"""The pods of a node, followed at a real API server by what its documented role allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import pytest

from busted.enrich.pods import PodFacts
from tests.e2e.deadline import until
from tests.kubernetes.api_server import ADMIN, BUSTED, ApiServer, running
from tests.kubernetes.test_pod_watch import ID, following
from tests.kubernetes.watch_server import ROLE
from tests.requirements import require

if TYPE_CHECKING:
    from lightkube import Client

ALL = "/api/v1/pods?limit=1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    require("lightkube", "kube-apiserver")
    with running(tmp_path_factory.mktemp("kubernetes")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: ApiServer) -> Iterator[Client]:
    from lightkube import Client, KubeConfig, codecs
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Namespace, ServiceAccount

    client = Client(KubeConfig.from_file(server.kubeconfig(ADMIN)), trust_env=False)
    try:
        client.create(Namespace(metadata=ObjectMeta(name="shop")))
        # A controller would make these; nothing but the API server runs.
        until(lambda: server.ask("/api/v1/namespaces/kube-system") == 200, "its own namespace")
        web = ObjectMeta(name="web", namespace="shop")
        client.create(ServiceAccount(metadata=web, automountServiceAccountToken=False))
        for made in codecs.load_all_yaml(ROLE.read_text()):
            client.create(made)
        until(lambda: server.ask(ALL, BUSTED) == 200, "the role is in force")
        yield client
    finally:
        client.close()


def make(client: Client, name: str, node: str = "node-1") -> PodFacts:
    """Make a pod as a Deployment would; return what is to be told of it."""
    from lightkube.models.core_v1 import Container, PodSpec
    from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
    from lightkube.resources.core_v1 import Pod

    made_by = OwnerReference(
        apiVersion="apps/v1", kind="ReplicaSet", name="web-5d4f8c7b9d", uid="1", controller=True
    )
    metadata = ObjectMeta(
        name=name,
        namespace="shop",
        labels={"app": "web", "pod-template-hash": "5d4f8c7b9d", "other": "x"},
        ownerReferences=[made_by],
    )
    spec = PodSpec(
        nodeName=node,
        serviceAccountName="web",
        containers=[Container(name="server", image="shop/web:3")],
    )
    pod = client.create(Pod(metadata=metadata, spec=spec))
    assert pod.metadata is not None
    return PodFacts(
        str(pod.metadata.uid), name, "shop", "web", "Deployment/web", labels={"app": "web"}
    )


def test_pods_are_told_by_the_documented_role_through_changes_and_an_outage(
    server: ApiServer, client: Client
) -> None:
    from lightkube.resources.core_v1 import Pod

    kubeconfig = server.kubeconfig(BUSTED)
    one = make(client, "one")
    make(client, "elsewhere", node="node-2")
    with following(kubeconfig) as followed:
        followed.until(one)
        two = make(client, "two")
        followed.until(two)
        container = {
            "name": "server",
            "image": "shop/web:3",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "containerID": f"containerd://{ID}",
            "state": {"running": {}},
        }
        status = {"status": {"phase": "Running", "containerStatuses": [container]}}
        client.patch(Pod.Status, "two", status, namespace="shop")
        two = msgspec.structs.replace(two, containers={ID: ("server", "shop/web:3")})
        followed.until(two)

        server.kill()
        until(lambda: followed.watch.trouble is not None, "it is in trouble")
        server.start()
        until(lambda: followed.watch.trouble is None, "it is not in trouble any more")
        three = make(client, "three")
        followed.until(three)
        client.delete(Pod, "one", namespace="shop", grace_period=0)
        followed.until(PodFacts(one.uid, deleted=True))

    assert [told.name for told in followed.told] == ["one", "two", "two", "three", ""]


def test_the_documented_role_allows_nothing_else(server: ApiServer, client: Client) -> None:
    paths = [f"/api/v1/{what}" for what in ("secrets", "configmaps", "nodes", "namespaces")]
    paths += ["/api/v1/namespaces/shop/pods/one/log", "/apis/apps/v1/replicasets"]

    assert {path: server.ask(path, BUSTED) for path in paths} == dict.fromkeys(paths, 403)
    assert server.ask(ALL, BUSTED) == 200

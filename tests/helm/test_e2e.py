"""The chart at a real API server, and its DaemonSet's container on this host: `make helm-e2e`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import yaml

from tests.e2e.bed import CLIENTS, Bed, bed
from tests.e2e.deadline import until
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Event, Monitor
from tests.e2e.test_enrichment import Container
from tests.helm.node import Node
from tests.helm.renderer import render
from tests.kubernetes.api_server import ADMIN, ApiServer, running
from tests.kubernetes.test_api_server import make
from tests.requirements import require

if TYPE_CHECKING:
    from lightkube import Client

RULES = """
package busted

import rego.v1

default decision := "audit"

decision := "{decision}" if input.action.type == "Prompt"
"""
NAMESPACE = "watch"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    require("helm", "lightkube", "kube-apiserver", "e2e", "writable cgroups", "regorus")
    with running(tmp_path_factory.mktemp("kubernetes")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: ApiServer) -> Iterator[Client]:
    from lightkube import Client, KubeConfig
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Namespace, ServiceAccount

    client = Client(KubeConfig.from_file(server.kubeconfig(ADMIN)), trust_env=False)
    try:
        for name in ("shop", NAMESPACE):
            client.create(Namespace(metadata=ObjectMeta(name=name)))
        client.create(ServiceAccount(metadata=ObjectMeta(name="web", namespace="shop")))
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with bed(tmp_path_factory.mktemp("bed")) as made:
        yield made


def test_what_a_pod_says_is_told_and_judged_by_what_the_chart_installs(
    server: ApiServer, client: Client, provider: Bed, tmp_path: Path
) -> None:
    from lightkube import codecs
    from lightkube.resources.apps_v1 import DaemonSet
    from lightkube.resources.core_v1 import ConfigMap

    rendered = render(
        {
            "features": {"policy": True},
            "policy": {"files": {"ours.rego": RULES.format(decision="deny")}},
            "host": {"stateDirectory": str(tmp_path / "state")},
            "security": {"oldestKernel": "6.6"},
            "config": '[kubernetes]\nlabels = ["app"]\n',
        }
    )
    for made in codecs.load_all_yaml(yaml.safe_dump_all(rendered)):
        client.create(made)
    installed = client.get(DaemonSet, "test-busted", namespace=NAMESPACE)
    pod = installed.to_dict()["spec"]["template"]["spec"]
    (tmp_path / "node").mkdir()
    node = Node(client, pod, NAMESPACE, tmp_path / "node")
    told = make(client, f"web-{uuid4().hex[:8]}")
    container = Container(f"kubepods/burstable/pod{told.uid}/{{id}}")

    def ask(monitor: Monitor) -> Event:
        command = container.command(CLIENTS["openai_sync"].command(PROMPT))
        pid = provider.sandbox.run(command).pid
        return next(
            event
            for event in monitor.wait_for(pid, "Response")
            if event["action"]["type"] == "Prompt"
        )

    try:
        with Monitor(whole=node.command(server.address, server.authority)) as monitor:
            first = ask(monitor)
            process = first["process"]
            assert (process["pod"], process["namespace"]) == (told.name, "shop")
            assert (process["owner"], process["labels"]) == ("Deployment/web", {"app": "web"})
            assert first["policy"]["decision"] == "deny"
            # At the default level of the chart nothing that was said leaves the node.
            assert PROMPT not in "".join(monitor.stdout)

            probe = pod["containers"][0]["readinessProbe"]["exec"]["command"]
            assert probe == ["busted", "status"]
            ready = [sys.executable, "-m", "busted.cli.main", "status"]
            assert node.run(monitor.process.pid, ready) == 0

            rules = {"data": {"ours.rego": RULES.format(decision="allow")}}
            client.patch(ConfigMap, "test-busted-policies", rules, namespace=NAMESPACE)
            node.sync()
            until(lambda: ask(monitor)["policy"]["decision"] == "allow", "the changed policy holds")
            assert monitor.lost == {}
            assert monitor.stop() == 130, monitor.stderr
    finally:
        container.remove()

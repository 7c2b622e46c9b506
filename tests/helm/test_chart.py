"""The chart, rendered by Helm over a table of values: what Kubernetes and the monitor take."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from busted import state
from busted.agent import config_file
from busted.agent.socket_messages import DEFAULT_DIRECTORY, SOCKET_NAME
from busted.cli.monitor import monitor
from busted.cli.ui import ui
from busted.kernel.privileges import PRIVILEGES
from tests.helm.renderer import CHART, Object, Refused, render
from tests.requirements import ROOT, require

Values = dict[str, Any]

STATE = state.directory({})
SOCKET = DEFAULT_DIRECTORY / SOCKET_NAME
POLICY: Values = {"files": {"ours.rego": "package busted\n", "data.json": "{}"}}
EVERYTHING: Values = {
    "image": {"repository": "registry.example/busted", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "fullnameOverride": "watcher",
    "features": {
        "files": "all",
        "network": "all",
        "policy": True,
        "enforce": "enforce",
        "hold": False,
        "otlp": "http://collector.example:4318",
        "nats": "nats://nats.example:4222",
    },
    "policy": {**POLICY, "restartOnChange": True, "onError": "allow", "onDeny": "kill"},
    "config": '[[agents]]\nname = "ours"\nexecutables = ["ours"]\n',
    "extraArgs": ["--comm", "node"],
    "extraEnv": [{"name": "A", "value": "b"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "hostNetwork": True,
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
    },
    "networkPolicy": {
        "metricsFrom": [{"namespaceSelector": {}}],
        "egress": [{"ports": [{"port": 443}]}],
    },
    "serviceAccount": {"name": "busted-account", "annotations": {"a": "b"}},
    "priorityClassName": "system-node-critical",
    "affinity": {"nodeAffinity": {}},
    "podLabels": {"team": "security"},
    "podAnnotations": {"note": "yes"},
}
NOTHING: Values = {
    "features": {
        "stdout": False,
        "history": False,
        "identity": False,
        "kubernetes": False,
        "metrics": False,
    },
    "host": {"stateDirectory": "", "users": False, "runtimeDirectories": []},
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False},
    "resources": None,
    "tolerations": [],
    "nodeSelector": None,
}
TABLE: dict[str, Values] = {
    "default": {},
    "everything": EVERYTHING,
    "nothing": NOTHING,
    "privileged": {"security": {"mode": "privileged"}},
    "a new kernel": {"security": {"oldestKernel": "6.6"}},
    "a shipped policy": {
        "features": {"policy": True, "enforce": "shadow"},
        "policy": {"shipped": "default"},
    },
    "a ConfigMap of one's own": {
        "features": {"policy": True},
        "policy": {"existingConfigMap": "ours"},
    },
    "a token of one's own": {"metrics": {"existingSecret": "ours"}},
    "a dashboard": {"features": {"ui": True}},
    "no probes": {"startupProbe": None, "livenessProbe": None, "readinessProbe": None},
}
# Those of operators; Kubernetes' own schemas do not know them.
FOREIGN = ("ServiceMonitor", "PrometheusRule")

every_row = pytest.mark.parametrize("values", TABLE.values(), ids=TABLE)


@pytest.fixture(autouse=True)
def helm() -> None:
    require("helm")


def one(objects: list[Object], kind: str, suffix: str = "") -> Object:
    (found,) = (
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)
    )
    return found


def kinds(objects: list[Object]) -> list[str]:
    return sorted(each["kind"] for each in objects)


def pod(objects: list[Object]) -> Object:
    template: Object = one(objects, "DaemonSet")["spec"]["template"]
    return template


def container(objects: list[Object]) -> Object:
    (found,) = (each for each in pod(objects)["spec"]["containers"] if each["name"] == "busted")
    assert isinstance(found, dict)
    return found


def check_arguments(objects: list[Object], directory: Path) -> None:
    """Have `busted monitor` parse its arguments, with the files that they name."""
    name, *arguments = container(objects)["args"]
    assert name == "monitor"
    config = directory / "config.toml"
    config.write_text(one(objects, "ConfigMap", "-config")["data"]["config.toml"])
    (directory / "policies").mkdir()
    (directory / "token").write_text("t")
    places = {
        "/etc/busted/config/config.toml": config,
        "/etc/busted/policies": directory / "policies",
        "/usr/share/busted/policies/default": ROOT / "policies/default",
        "/etc/busted/metrics/token": directory / "token",
    }
    command: click.Command = monitor
    command.make_context(name, [str(places.get(each, each)) for each in arguments])


@every_row
@pytest.mark.parametrize("kubernetes", ["1.25", "1.37"])
def test_kubernetes_takes_every_object(values: Values, kubernetes: str) -> None:
    objects = render(values, kubernetes)
    assert {"DaemonSet", "ConfigMap"} <= set(kinds(objects))
    for each in objects:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, kubernetes, strict=True)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)


@every_row
def test_the_monitor_takes_arguments_and_configuration(values: Values, tmp_path: Path) -> None:
    objects = render(values)
    check_arguments(objects, tmp_path)
    config_file.read(tmp_path / "config.toml")


@every_row
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(values: Values) -> None:
    objects = render(values)
    volumes = [volume["name"] for volume in pod(objects)["spec"]["volumes"]]
    mounts = [mount["name"] for mount in container(objects)["volumeMounts"]]
    assert sorted(volumes) == sorted(mounts)
    made = {each["metadata"]["name"] for each in objects if each["kind"] in ("ConfigMap", "Secret")}
    named = {
        source.get("name") or source.get("secretName")
        for volume in pod(objects)["spec"]["volumes"]
        for key, source in volume.items()
        if key in ("configMap", "secret")
    }
    assert named <= made | {"ours"}


@every_row
def test_it_sees_the_processes_of_the_node_and_its_selectors_find_it(values: Values) -> None:
    objects = render(values)
    assert pod(objects)["spec"]["hostPID"] is True
    labels = pod(objects)["metadata"]["labels"].items()
    selectors = [
        spec.get("selector") or spec.get("podSelector")
        for spec in (each.get("spec", {}) for each in objects)
    ]
    for selector in filter(None, selectors):
        assert selector.get("matchLabels", selector).items() <= labels


@pytest.mark.parametrize(
    ("values", "turned_on", "turned_off"),
    [
        ({"files": "sensitive"}, "--file-monitor sensitive", ""),
        ({"content": "none"}, "--content none", "--content redacted"),
        ({"network": "none"}, "--network none", "--network ai"),
        ({"identity": False}, "", "--identity-store"),
        ({"policy": False}, "", "--policy"),
        ({"enforce": "off"}, "--policy /etc/busted/policies", "--enforce"),
        ({"enforce": "shadow"}, "--shadow", "--enforce"),
        ({"enforce": "enforce"}, "--enforce --on-deny reset", "--no-hold"),
        ({"enforce": "enforce", "hold": False}, "--no-hold", "--shadow"),
        ({"metrics": False}, "", "--metrics"),
        ({"metrics": True}, "--metrics 0.0.0.0:9464", ""),
    ],
)
def test_a_feature_turns_an_option(values: Values, turned_on: str, turned_off: str) -> None:
    features = {"policy": True, **values}
    arguments = " ".join(container(render({"features": features, "policy": POLICY}))["args"])
    assert turned_on in arguments
    assert not turned_off or turned_off not in arguments


@pytest.mark.parametrize(
    ("feature", "value", "output"),
    [
        ("stdout", True, "stdout"),
        ("history", True, "history:/var/lib/busted/history.db"),
        ("otlp", "http://a:4318", "otlp:http://a:4318"),
        ("nats", "nats://a:4222", "nats:nats://a:4222"),
    ],
)
def test_a_feature_names_an_output(feature: str, value: bool | str, output: str) -> None:
    off = container(render({"features": {feature: type(value)()}}))["args"]
    on = container(render({"features": {feature: value}}))["args"]
    assert output not in off
    assert on[on.index(output) - 1] == "--output"


@pytest.mark.parametrize("enforce", ["off", "enforce"])
@pytest.mark.parametrize("kernel", ["5.10", "5.11", "6.5", "6.6"])
def test_it_has_the_documented_capabilities_and_no_others(kernel: str, enforce: str) -> None:
    values: Values = {
        "features": {"policy": True, "enforce": enforce},
        "policy": POLICY,
        "security": {"oldestKernel": kernel},
    }
    context = container(render(values))["securityContext"]

    def number(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    wanted = {p.name for p in PRIVILEGES if not p.until or number(kernel) < number(p.until)}
    if enforce == "enforce":
        # docs/privileges.md, The process that enforces.
        wanted |= {"CAP_SYS_ADMIN", "CAP_KILL"}
    assert context["privileged"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    added = context["capabilities"]["add"]
    assert sorted(f"CAP_{name}" for name in added) == sorted(wanted)
    # The API server refuses the one without the other.
    assert context["allowPrivilegeEscalation"] is ("SYS_ADMIN" in added)


def test_privileged_is_asked_for_only_by_name() -> None:
    context = container(render({"security": {"mode": "privileged"}}))["securityContext"]
    assert context["privileged"] is True
    assert "capabilities" not in context


def test_apparmor_is_told_as_this_kubernetes_knows_it() -> None:
    old, new = render(kubernetes="1.29"), render(kubernetes="1.30")
    key = "container.apparmor.security.beta.kubernetes.io/busted"
    assert pod(old)["metadata"]["annotations"][key] == "unconfined"
    assert "appArmorProfile" not in container(old)["securityContext"]
    assert key not in pod(new)["metadata"]["annotations"]
    assert container(new)["securityContext"]["appArmorProfile"] == {"type": "Unconfined"}


def test_the_role_is_the_documented_one_and_the_account_of_the_pods_has_it() -> None:
    objects = render()
    (documented,) = (
        each["rules"]
        for each in yaml.safe_load_all((ROOT / "deploy/kubernetes/pods-rbac.yaml").read_text())
        if each["kind"] == "ClusterRole"
    )
    role, binding = one(objects, "ClusterRole"), one(objects, "ClusterRoleBinding")
    assert role["rules"] == documented
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert subject["namespace"] == "watch"
    assert subject["name"] == pod(objects)["spec"]["serviceAccountName"]
    assert subject["name"] == one(objects, "ServiceAccount")["metadata"]["name"]


def test_without_pods_there_is_neither_role_nor_token() -> None:
    objects = render({"features": {"kubernetes": False}})
    assert not {"ClusterRole", "ClusterRoleBinding"} & set(kinds(objects))
    assert pod(objects)["spec"]["automountServiceAccountToken"] is False
    config = one(objects, "ConfigMap", "-config")["data"]["config.toml"]
    assert 'enabled = "off"' in config


def test_a_table_of_ones_own_takes_the_place_of_ours() -> None:
    ours = '[kubernetes]\nenabled = "on"\nlabels = ["team"]\n'
    objects = render({"config": ours})
    assert one(objects, "ConfigMap", "-config")["data"]["config.toml"].strip() == ours.strip()


def test_what_changed_in_the_configuration_starts_pods_anew() -> None:
    def annotations(values: Values) -> dict[str, str]:
        told: dict[str, str] = pod(render(values))["metadata"]["annotations"]
        return told

    asked: Values = {"features": {"policy": True}}
    other = {"files": {"ours.rego": "package busted.other\n"}}
    assert (
        annotations({})["checksum/config"] != annotations({"config": "# new\n"})["checksum/config"]
    )
    # A policy is taken on while it runs, unless a restart is asked for.
    assert annotations({**asked, "policy": POLICY}) == annotations({**asked, "policy": other})
    restart = {"restartOnChange": True}
    assert annotations({**asked, "policy": {**POLICY, **restart}}) != annotations(
        {**asked, "policy": {**other, **restart}}
    )


def test_a_policy_is_mounted_as_it_was_given() -> None:
    objects = render({"features": {"policy": True}, "policy": POLICY})
    assert one(objects, "ConfigMap", "-policies")["data"] == POLICY["files"]


def test_figures_are_asked_for_with_the_token_that_the_monitor_was_given() -> None:
    objects = render(EVERYTHING)
    secret = one(objects, "Secret")
    assert re.fullmatch(r"\w{40}", base64.b64decode(secret["data"]["token"]).decode())
    (endpoint,) = one(objects, "ServiceMonitor")["spec"]["endpoints"]
    (mounted,) = (v["secret"] for v in pod(objects)["spec"]["volumes"] if "secret" in v)
    credentials = endpoint["authorization"]["credentials"]
    assert credentials == {"name": secret["metadata"]["name"], "key": "token"}
    assert mounted["secretName"] == secret["metadata"]["name"]
    assert mounted["defaultMode"] == 0o400
    (port,) = one(objects, "Service")["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert port["targetPort"] in [each["name"] for each in container(objects)["ports"]]


def test_alerts_and_dashboard_are_those_of_the_repository() -> None:
    objects = render(EVERYTHING)
    rules = yaml.safe_load((ROOT / "deploy/prometheus/busted.rules.yml").read_text())
    assert one(objects, "PrometheusRule")["spec"] == rules
    dashboard = one(objects, "ConfigMap", "-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    shown = json.loads(dashboard["data"]["busted.json"])
    assert shown == json.loads((ROOT / "deploy/grafana/busted.json").read_text())


def test_the_network_lets_in_only_who_fetches_figures() -> None:
    (rule,) = one(render(), "NetworkPolicy")["spec"]["ingress"]
    assert rule == {"ports": [{"port": "metrics"}]}
    closed = one(render({"features": {"metrics": False}}), "NetworkPolicy")["spec"]
    assert (closed["ingress"], closed["policyTypes"]) == ([], ["Ingress"])
    open_ = one(render(EVERYTHING), "NetworkPolicy")["spec"]
    assert open_["ingress"][0]["from"] == EVERYTHING["networkPolicy"]["metricsFrom"]
    assert open_["egress"] == EVERYTHING["networkPolicy"]["egress"]


def test_probes_ask_the_monitor_itself() -> None:
    asked = container(render())
    assert [asked[f"{name}Probe"]["exec"]["command"] for name in ("startup", "liveness")] == [
        ["busted", "status"],
        ["busted", "status"],
    ]
    assert asked["args"][asked["args"].index("--socket") + 1] == str(SOCKET)
    assert "startupProbe" not in container(render({"startupProbe": None}))


def test_the_dashboard_has_no_privileges_and_reads_what_the_monitor_writes() -> None:
    monitoring, dashboard = pod(render({"features": {"ui": True}}))["spec"]["containers"]
    context = dashboard["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert (context["runAsUser"], monitoring["securityContext"]["runAsUser"]) == (0, 0)
    name, *arguments = dashboard["args"]
    command: click.Command = ui
    # Its defaults: the loopback, and the files of the monitor.
    command.make_context(name, arguments)
    mounted = [m for m in dashboard["volumeMounts"] if m in monitoring["volumeMounts"]]
    assert {str(SOCKET.parent), str(STATE)} <= {m["mountPath"] for m in mounted}


def test_a_digest_counts_in_place_of_the_tag() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert container(render())["image"] == f"busted:{chart['appVersion']}"
    digest = EVERYTHING["image"]["digest"]
    assert container(render(EVERYTHING))["image"] == f"registry.example/busted@{digest}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"features": {"enforce": "enforce"}}, "needs features.policy"),
        ({"features": {"policy": True}}, "needs one of policy.shipped"),
        (
            {"features": {"policy": True}, "policy": {**POLICY, "shipped": "default"}},
            "needs one of policy.shipped",
        ),
        ({"features": {"ui": True}, "hostNetwork": True}, "needs hostNetwork=false"),
        ({"feature": {}}, "feature"),
        ({"features": {"tsl": True}}, "tsl"),
        ({"features": {"content": "all"}}, "content"),
        ({"features": {"enforce": True}}, "enforce"),
        ({"security": {"oldestKernel": "4.19"}}, "oldestKernel"),
        ({"security": {"oldestKernel": 5.1}}, "oldestKernel"),
        ({"metrics": {"port": 0}}, "port"),
        ({"policy": {"files": {"../x.rego": ""}}}, "x.rego"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"host": {"stateDirectory": "relative"}}, "stateDirectory"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(values: Values, said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        render(values)

"""What the files for Docker say fits the program; tests/image.py tries the steps themselves."""

from __future__ import annotations

import re
from typing import Any

import click
import yaml

from busted import state
from busted.agent.socket_messages import DEFAULT_DIRECTORY
from busted.cli.monitor import monitor
from busted.cli.ui import ui
from busted.kernel.privileges import PRIVILEGES
from tests.requirements import ROOT

STATE = state.directory({})
DOCKER = ROOT / "deploy/docker"


def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DOCKER / "docker-compose.yml").read_text())[
        "services"
    ]
    return services


def mounted(service: dict[str, Any]) -> set[str]:
    return {volume.split(":")[1] for volume in service["volumes"]}


def test_the_monitor_in_docker_has_the_documented_capabilities_and_no_others() -> None:
    service = services()["monitor"]
    assert service["cap_drop"] == ["ALL"]
    assert {f"CAP_{name}" for name in service["cap_add"]} == {each.name for each in PRIVILEGES}
    assert (service["pid"], service["cgroup"]) == ("host", "host")
    assert "privileged" not in service


def test_the_commands_in_docker_are_ones_that_busted_takes() -> None:
    commands: dict[str, click.Command] = {"monitor": monitor, "dashboard": ui}
    for service, command in commands.items():
        name, *arguments = services()[service]["command"]
        assert name == command.name
        command.make_context(name, arguments)


def test_the_dashboard_in_docker_reads_what_the_monitor_writes() -> None:
    there = mounted(services()["monitor"]) & mounted(services()["dashboard"])
    assert {str(STATE), str(DEFAULT_DIRECTORY)} <= there


def test_the_image_is_made_by_the_script_that_is_tested() -> None:
    steps = re.findall(r"^RUN (.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    script = (ROOT / "scripts/image.sh").read_text()
    names = [step.rpartition("scripts/image.sh ")[2] for step in steps]
    assert names == ["build", "runtime"]
    assert all(f"\n{name}() {{" in script for name in names)
    tried = (ROOT / "tests/image.py").read_text()
    assert all(f'image.sh", "{name}"' in tried for name in names)


def test_what_the_image_needs_is_not_kept_back_from_it() -> None:
    back = (ROOT / ".dockerignore").read_text().split()
    needed = ("src", "bpf", "xtask", "policies", "requirements", "scripts", "pyproject.toml")
    assert not set(needed) & set(back)

"""The command `busted monitor` as an operator uses it: it says what it watches, and ends well."""

import json
import stat
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Monitor, replay
from tests.requirements import require


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


def test_it_says_what_it_watches_before_anything_is_said(test_bed: Bed) -> None:
    with Monitor() as monitor:
        coverage = monitor.coverages[0]

    # The provider, which has the library mapped, is running.
    assert coverage["type"] == "Coverage"
    assert any("libssl" in library["path"] for library in coverage["libraries"])
    assert all(library["processes"] > 0 for library in coverage["libraries"])


def test_an_interrupt_ends_it_with_130_and_a_last_word_on_losses(test_bed: Bed) -> None:
    with Monitor() as monitor:
        assert monitor.stop() == 130

    assert monitor.events[-1]["action"]["type"] == "Coverage"
    assert monitor.lost == {}
    assert monitor.stderr == []


def test_a_duration_ends_it_with_0(test_bed: Bed) -> None:
    with Monitor("--duration", "0.5") as monitor:
        assert monitor.wait() == 0

    assert monitor.events[-1]["action"]["type"] == "Coverage"


def test_what_was_said_just_before_the_end_is_still_told(test_bed: Bed) -> None:
    with Monitor() as monitor:
        finished = test_bed.ask("curl_openai", PROMPT)
        monitor.stop()

    assert [event["action"]["type"] for event in monitor.of(finished.pid)] == ["Prompt", "Response"]


def test_it_names_a_library_that_appears_later(test_bed: Bed, tmp_path: Path) -> None:
    require("node")
    with Monitor() as monitor:
        finished = test_bed.ask("node_https", PROMPT)
        event = monitor.wait_for(finished.pid, "Response")[0]

    assert event["connection"]["tls_library"].endswith("/node")


def test_a_recording_replays_to_the_same_events(test_bed: Bed, tmp_path: Path) -> None:
    file = tmp_path / "recording"
    with Monitor("--record", str(file)) as monitor:
        pids = [
            test_bed.ask(client, PROMPT).pid
            for client in ("curl_anthropic", "openai_tools", "anthropic_stream")
        ]
        for pid in pids:
            monitor.wait_for(pid, "Response")
        monitor.stop()

    replayed = replay(str(file), "--format", "json", "--content", "full")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert replayed.returncode == 0, replayed.stderr
    events = [json.loads(line) for line in replayed.stdout.splitlines()]
    for pid in pids:
        live = [event for event in monitor.events if event["process"]["pid"] == pid]
        assert [event for event in events if event["process"]["pid"] == pid] == live != []

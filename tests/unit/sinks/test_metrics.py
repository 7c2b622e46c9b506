from __future__ import annotations

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from busted.events import Event, Finding, PolicyDecision, Usage
from busted.sinks.delivery import Figures
from busted.sinks.metric_sources import KernelFigures, ProgramRuns, Sources
from busted.sinks.metrics import MAX_VALUES, OTHER, Metrics, MetricsServer
from tests.requirements import require, tool
from tests.unit.sinks.samples import ACTIONS, PROMPT, RESPONSE, event

Key = tuple[str, frozenset[str]]


@pytest.fixture
def metrics() -> Metrics:
    late = Figures(found=0, produced=9, delivered=6, waiting=3, lost={}, lag=2.5)
    kernel = KernelFigures(
        fill=0.25,
        programs=(ProgramRuns("write", 5, 0.5), ProgramRuns("write", 2, 0.25)),
        held={"denied": 4},
        hold_seconds=0.125,
        windows={"llm_api": 5},
    )
    return Metrics(Sources(lambda: {"ring_full": 7}, lambda: {"otlp": late}, lambda: kernel))


def scraped(metrics: Metrics, token: str | None = None) -> str:
    with closing(MetricsServer(metrics, "127.0.0.1", 0, token)) as server:
        return get(server, token).decode()


def get(server: MetricsServer, token: str | None = None, path: str = "/metrics") -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def key(name: str, *values: str) -> Key:
    return f"busted_{name}", frozenset(values)


def figures(metrics: Metrics) -> dict[Key, float]:
    """Each sample by its name and the values of its labels."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(scraped(metrics))
        for sample in family.samples
    }


def test_what_agents_said_is_counted(metrics: Metrics) -> None:
    answer = msgspec.structs.replace(RESPONSE, cost=0.25, usage=Usage(input=18, output=7, cached=4))
    secret = Finding(kind="email", start=0, end=1)
    denied = PolicyDecision(decision="deny", enforced="prevented")
    prompt = msgspec.structs.replace(PROMPT, pii=(secret, secret))
    metrics.write(msgspec.structs.replace(event(prompt), policy=denied))
    for _ in range(2):
        metrics.write(event(answer))
    told = figures(metrics)
    of = ("openai", "gpt-4o")
    expected: dict[Key, object] = {
        key("events_total", "Prompt", "openai"): 1,
        key("events_total", "Response", "openai"): 2,
        key("tokens_total", *of, "input"): 36,
        key("tokens_total", *of, "output"): 14,
        key("tokens_total", *of, "cached"): 8,
        key("cost_dollars_total", *of): 0.5,
        key("bytes_total", "Prompt"): PROMPT.bytes,
        key("responses_total", "openai", "2xx"): 2,
        key("decisions_total", "deny", "prevented"): 1,
        key("findings_total", "email"): 2,
        key("response_seconds_count", "openai"): 2,
        key("response_seconds_sum", "openai"): pytest.approx(2.72),
        key("response_seconds_bucket", "openai", "1.0"): 0,
        key("response_seconds_bucket", "openai", "2.5"): 2,
        key("first_token_seconds_count", "openai"): 2,
        key("lost_total", "ring_full"): 7,
        key("queued", "otlp"): 3,
        key("delivered_total", "otlp"): 6,
        key("lag_seconds", "otlp"): 2.5,
        key("ring_fill_ratio"): 0.25,
        key("program_runs_total", "write"): 7,
        key("program_seconds_total", "write"): 0.75,
        key("held_requests_total", "denied"): 4,
        key("traffic_windows_total", "llm_api"): 5,
        key("hold_seconds"): 0.125,
    }
    assert {one: told.get(one) for one in expected} == expected


def test_every_kind_of_event_is_counted(metrics: Metrics) -> None:
    for action in ACTIONS:
        metrics.write(event(action))
    counted = [labels for name, labels in figures(metrics) if name == "busted_events_total"]
    kinds = {type(action).__name__ for action in ACTIONS}
    assert set[str]().union(*counted) & kinds == kinds


def test_made_up_names_do_not_add_up(metrics: Metrics) -> None:
    def named(number: int) -> Event:
        name = f"m{number}"
        return event(msgspec.structs.replace(RESPONSE, provider=name, model=name))

    for number in range(3 * MAX_VALUES):
        metrics.write(named(number))
    told = figures(metrics)
    counted = {labels: n for (name, labels), n in told.items() if name == "busted_events_total"}
    assert len(counted) == MAX_VALUES + 1
    assert counted[frozenset({"Response", OTHER})] == 2 * MAX_VALUES
    assert sum(counted.values()) == 3 * MAX_VALUES


def test_nothing_that_was_said_is_told(metrics: Metrics) -> None:
    said = "a-very-private-sentence"
    metrics.write(event(msgspec.structs.replace(PROMPT, user_message=said)))
    metrics.write(event(msgspec.structs.replace(RESPONSE, text=said, error=said)))
    assert said not in scraped(metrics)


@pytest.fixture
def guarded(metrics: Metrics) -> Iterator[MetricsServer]:
    with closing(MetricsServer(metrics, "127.0.0.1", 0, token="t" * 32)) as server:
        yield server


@pytest.mark.parametrize("token", [None, "", "t" * 31, "\xff"])
def test_without_the_token_nothing_is_told(guarded: MetricsServer, token: str | None) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(guarded, token)


def test_with_the_token_it_is_told(guarded: MetricsServer) -> None:
    assert b"busted_build" in get(guarded, "t" * 32)


def test_no_other_page_is_there(guarded: MetricsServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(guarded, "t" * 32, "/")


def test_a_scraper_that_says_nothing_keeps_no_other_from_being_answered(
    guarded: MetricsServer,
) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port)):
        assert b"busted_build" in get(guarded, "t" * 32)


def test_prometheus_finds_nothing_to_complain_about(metrics: Metrics) -> None:
    require("promtool")
    promtool = tool("promtool")
    assert promtool
    for action in ACTIONS:
        metrics.write(event(action))
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=scraped(metrics),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

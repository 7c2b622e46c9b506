"""Events as figures for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

Nothing that was said is a label, and a label takes so many values and no more: providers and models
are named by whoever sends a request. What is beyond counts as "other".

Listens on loopback; elsewhere only with a token, which who scrapes sends as `Authorization:
Bearer`.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from busted import __version__
from busted.events import Coverage, Event, Prompt, Response
from busted.sinks.metric_sources import Sources

# Values of one label. A host talks to few providers and models; names beyond are made up.
MAX_VALUES = 100
OTHER = "other"
# From a cached answer to a long chain of thought, in seconds.
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Bounded:
    """Gives a value back as it is while there are few, else OTHER."""

    def __init__(self, max_values: int = MAX_VALUES) -> None:
        """The first so many are kept."""
        self._max, self._known = max_values, set[str]()

    def __call__(self, value: str | None) -> str:
        """Return what to use as a label."""
        if not value:
            return ""
        if value not in self._known:
            if len(self._known) >= self._max:
                return OTHER
            self._known.add(value)
        return value


class Metrics:
    """A sink that counts; `sources` are asked at each scrape."""

    def __init__(self, sources: Sources = Sources()) -> None:  # noqa: B008  (frozen)
        """A registry of its own, so that there may be several in a process."""
        self.registry = CollectorRegistry()
        self._provider, self._model, self._finding = Bounded(), Bounded(), Bounded()
        self._reason = Bounded()
        self._events = self._counter("events", "Events.", "type", "provider")
        self._tokens = self._counter(
            "tokens", "Tokens as providers counted them.", "provider", "model", "kind"
        )
        self._cost = self._counter("cost_dollars", "List prices.", "provider", "model")
        self._bytes = self._counter("bytes", "Bodies of prompts and responses.", "type")
        self._responses = self._counter("responses", "By HTTP status.", "provider", "status")
        self._decisions = self._counter("decisions", "Of policy.", "decision", "enforced")
        self._findings = self._counter("findings", "Personal data and secrets.", "kind")
        self._coverage = self._counter("coverage", "Connections not read.", "state", "reason")
        self._latency = self._histogram("response_seconds", "From request to end of answer.")
        self._first_token = self._histogram("first_token_seconds", "From request to first token.")
        Gauge("busted_build", "Always 1.", ["version"], registry=self.registry).labels(
            __version__
        ).set(1)
        self.registry.register(_Asked(sources))

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"busted_{name}", help, labels, registry=self.registry)

    def _histogram(self, name: str, help: str) -> Histogram:
        return Histogram(
            f"busted_{name}", help, ["provider"], registry=self.registry, buckets=SECONDS
        )

    def write(self, event: Event) -> None:
        """Count an event."""
        action = event.action
        provider = self._provider(getattr(action, "provider", None))
        self._events.labels(type(action).__name__, provider).inc()
        if event.policy:
            self._decisions.labels(event.policy.decision, event.policy.enforced or "").inc()
        for finding in getattr(action, "pii", ()):
            self._findings.labels(self._finding(finding.kind)).inc()
        if isinstance(action, Coverage) and action.connection:
            coverage = action.connection
            self._coverage.labels(coverage.state, self._reason(coverage.reason)).inc()
        if isinstance(action, Prompt | Response):
            self._bytes.labels(type(action).__name__).inc(action.bytes)
        if isinstance(action, Response):
            self._response(action, provider)

    def _response(self, response: Response, provider: str) -> None:
        model = self._model(response.model)
        self._responses.labels(provider, f"{response.status // 100}xx").inc()
        if usage := response.usage:
            for kind in ("input", "output", "cached", "reasoning"):
                if count := getattr(usage, kind):
                    self._tokens.labels(provider, model, kind).inc(count)
        if response.cost:
            self._cost.labels(provider, model).inc(response.cost)
        if response.latency is not None:
            self._latency.labels(provider).observe(response.latency)
        if response.time_to_first_token is not None:
            self._first_token.labels(provider).observe(response.time_to_first_token)


class _Asked:
    """What is counted elsewhere, as it stands at a scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        lost = CounterMetricFamily("busted_lost", "What was dropped.", labels=["place"])
        for place, count in self._sources.lost().items():
            lost.add_metric([place], count)
        yield lost
        yield from self._outputs()
        yield from self._kernel()

    def _outputs(self) -> Iterable[Metric]:
        delivered = CounterMetricFamily(
            "busted_delivered", "Events that outputs took.", labels=["sink"]
        )
        queued = GaugeMetricFamily("busted_queued", "What waits for a sink.", labels=["sink"])
        lag = GaugeMetricFamily(
            "busted_lag_seconds", "How long the oldest waits for a sink.", labels=["sink"]
        )
        for sink, figures in self._sources.outputs().items():
            delivered.add_metric([sink], figures.delivered)
            queued.add_metric([sink], figures.waiting)
            lag.add_metric([sink], figures.lag)
        yield from (delivered, queued, lag)

    def _kernel(self) -> Iterable[Metric]:
        kernel = self._sources.kernel()
        runs = CounterMetricFamily(
            "busted_program_runs", "Runs of eBPF programs.", labels=["program"]
        )
        seconds = CounterMetricFamily(
            "busted_program_seconds", "What these took.", labels=["program"]
        )
        # Variants of a program, one of which runs, have the same name.
        names = sorted({program.name for program in kernel.programs})
        for name in names:
            alike = [program for program in kernel.programs if program.name == name]
            runs.add_metric([name], sum(program.runs for program in alike))
            seconds.add_metric([name], sum(program.run_seconds for program in alike))
        held = CounterMetricFamily(
            "busted_held_requests", "Requests that waited.", labels=["decision"]
        )
        for decision, count in kernel.held.items():
            held.add_metric([decision], count)
        windows = CounterMetricFamily(
            "busted_traffic_windows", "What connections behave like.", labels=["behavior"]
        )
        for behavior, count in kernel.windows.items():
            windows.add_metric([behavior], count)
        yield from (runs, seconds, held, windows)
        for name, help, value in (
            ("busted_ring_fill_ratio", "How full the buffer of records is.", kernel.fill),
            ("busted_hold_seconds", "Median of what held requests waited.", kernel.hold_seconds),
        ):
            gauge = GaugeMetricFamily(name, help)
            if value is not None:
                gauge.add_metric([], value)
            yield gauge


class MetricsServer:
    """Serves `/metrics` until closed, from threads of its own."""

    def __init__(self, metrics: Metrics, host: str, port: int, token: str | None = None) -> None:
        """Port 0 takes a free one, see `port`. Raises OSError when the address cannot be had.

        Whoever gives no token has made sure that only this host can reach the address.
        """
        self._server = make_server(
            host,
            port,
            _with_token(make_wsgi_app(metrics.registry), token),
            _Server,
            handler_class=_Handler,
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="busted-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    # One that scrapes and does not read must not keep the monitor from ending.
    daemon_threads = True
    # The next monitor may start before connections of the last one are forgotten.
    allow_reuse_address = True


class _Handler(WSGIRequestHandler):
    # Of one request, however it comes.
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape is no news."""


def _with_token(app: Any, token: str | None) -> Any:
    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        sent = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        if token and not hmac.compare_digest(sent, b"Bearer " + token.encode()):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b""]
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [])
            return [b""]
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return guarded

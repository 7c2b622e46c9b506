"""What `busted monitor` serves for Prometheus, and to whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from busted.agent.policies import MissingExtra
from busted.agent.settings import Endpoint
from busted.events import Event
from busted.sinks.channel import WrongOutput

Counts = Callable[[], dict[str, int]]


@contextlib.contextmanager
def serving(
    endpoint: Endpoint | None, token: str | None, lost: Counts, queued: Counts
) -> Iterator[Callable[[Event], None]]:
    """Serve within the context; gives what counts an event.

    Raises MissingExtra, and WrongOutput where the address cannot be had.
    """
    if endpoint is None:
        yield lambda event: None
        return
    try:
        from busted.sinks.metrics import Metrics, MetricsServer
    except ImportError as error:
        raise MissingExtra(
            "--metrics needs the extra `metrics`: pip install 'busted[metrics]'"
        ) from error
    metrics = Metrics(lost, queued)
    try:
        server = MetricsServer(metrics, endpoint.host, endpoint.port, token)
    except OSError as error:
        raise WrongOutput(
            f"cannot serve metrics on {endpoint.host}:{endpoint.port}: {error.strerror}"
        ) from error
    with contextlib.closing(server):
        yield metrics.write

"""What `busted monitor` serves for Prometheus, and to whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from busted.agent.endpoint import Endpoint
from busted.agent.policies import MissingExtra
from busted.events import Event
from busted.sinks.channel import WrongOutput
from busted.sinks.metric_sources import Sources


@contextlib.contextmanager
def serving(
    chosen: Endpoint | None, token: str | None, sources: Sources
) -> Iterator[Callable[[Event], None]]:
    """Serve within the context; gives what counts an event.

    Raises MissingExtra, and WrongOutput where the address cannot be had.
    """
    if chosen is None:
        yield lambda event: None
        return
    try:
        from busted.sinks.metrics import Metrics, MetricsServer
    except ImportError as error:
        raise MissingExtra(
            "--metrics needs the extra `metrics`: pip install 'busted[metrics]'"
        ) from error
    metrics = Metrics(sources)
    try:
        server = MetricsServer(metrics, chosen.host, chosen.port, token)
    except OSError as error:
        raise WrongOutput(
            f"cannot serve metrics on {chosen.host}:{chosen.port}: {error.strerror}"
        ) from error
    with contextlib.closing(server):
        yield metrics.write

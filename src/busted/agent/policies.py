"""Opening a policy: from a directory, a file or a rule to what judges events.

Left out: what a policy says and how it is evaluated; that is `busted.policy`.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from busted.agent.decisions import Engine, Judge
from busted.events import Decision

# For one decision: of a live event, and of one that is over.
LIVE_SECONDS = 0.05
REPLAY_SECONDS = 5.0


class MissingExtra(Exception):
    """What was asked for needs packages that are not there; the message says how to get them."""


def require_policy() -> None:
    """Raise MissingExtra where policies cannot be evaluated."""
    if importlib.util.find_spec("regorus") is None:
        raise MissingExtra(
            "policies need the extra `policy`, which is not installed: pip install 'busted[policy]'"
        )


def open_policy(
    source: Path | str, on_error: Decision, deadline_seconds: float = LIVE_SECONDS
) -> Engine:
    """Return an engine for a directory or file (a Path) or for the text of a module.

    Raises MissingExtra, and PolicyError where the policy cannot be loaded.
    """
    require_policy()
    from busted.policy.engine import PolicyEngine

    return PolicyEngine(source, on_error=on_error, deadline_seconds=deadline_seconds)


@contextlib.contextmanager
def judging(policy: Path | str, on_error: Decision) -> Iterator[Judge]:
    """Have a policy judge past events within the context. Raises as `open_policy` does."""
    # Nobody waits for these events, and a busy machine must not change what is found.
    engine = open_policy(policy, on_error, REPLAY_SECONDS)
    with contextlib.closing(engine):
        yield Judge(engine, on_error)

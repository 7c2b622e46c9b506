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


class MissingExtra(Exception):
    """What was asked for needs packages that are not there; the message says how to get them."""


def require_policy() -> None:
    """Raise MissingExtra where policies cannot be evaluated."""
    if importlib.util.find_spec("regorus") is None:
        raise MissingExtra(
            "policies need the extra `policy`, which is not installed: pip install 'busted[policy]'"
        )


def open_policy(source: Path | str, on_error: Decision) -> Engine:
    """Return an engine for a directory or file (a Path) or for the text of a module.

    Raises MissingExtra, and PolicyError where the policy cannot be loaded.
    """
    require_policy()
    from busted.policy.engine import PolicyEngine

    return PolicyEngine(source, on_error=on_error)


@contextlib.contextmanager
def asked(policy: Path | str | None, on_error: Decision) -> Iterator[Judge | None]:
    """Have a policy judge events within the context; None where there is no policy.

    Raises as `open_policy` does.
    """
    if policy is None:
        yield None
        return
    with contextlib.closing(open_policy(policy, on_error)) as engine:
        yield Judge(engine, on_error)

"""A monitor that is killed leaves nothing behind, and its host as it was."""

from __future__ import annotations

import pytest

from tests.kernel.kill import CLIENTS, kill

pytestmark = pytest.mark.needs("kernel", "bpftool")

# Some fifty seconds; `python -m tests.kernel.kill` does two hundred.
ROUNDS = 20


def test_a_monitor_that_is_killed_at_any_moment_leaves_no_probe_and_harms_no_client() -> None:
    # Every client goes on after every round, on a connection that was not there before.
    assert kill(ROUNDS, seed=6) >= ROUNDS * CLIENTS

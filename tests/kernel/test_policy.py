"""A policy's worker is replaced after the monitor has given up running programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import ROOT

pytestmark = pytest.mark.needs("kernel")

PROGRAM = """
import subprocess, sys
from busted.kernel.lockdown import lock_down
from busted.policy.engine import PolicyEngine

POLICY = '''package busted
decision := "deny" if input.deny
decision := "audit" if forever(input.crash)
forever(x) := ever(x + 1)
ever(x) := forever(x)
'''

with PolicyEngine(POLICY, on_error="allow", deadline_seconds=20.0) as engine:
    lock_down(by_perf_events=False)
    try:
        subprocess.run(["/bin/true"])
        sys.exit("it may still run programs")
    except PermissionError:
        pass
    told = engine.evaluate_batch([b'{"crash": 1}', b'{"deny": 1}', b'{"crash": 1}', b'{"deny": 1}'])
    print([d.decision for d in told], engine.counts["crashes"], engine.counts["restarts"])
"""


def test_a_worker_is_replaced_under_lock_down() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(Path(ROOT, "src"))},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr == ""
    assert done.stdout == "['allow', 'deny', 'allow', 'deny'] 2 2\n"

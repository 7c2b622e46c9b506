import os
import pwd
import subprocess
import sys

from tests.e2e.answers import expected_answer
from tests.e2e.sandbox import DIES_WITH_US, ROOT
from tests.requirements import require
from xtask.demo import CANNOT_RUN, SCENES

DEMO = (sys.executable, "-m", "xtask.demo")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}


def test_the_demo_shows_each_prompt_and_answer() -> None:
    require("e2e")

    done = subprocess.run(
        [*DIES_WITH_US, *DEMO], cwd=ROOT, env=ENVIRONMENT, capture_output=True, encoding="utf-8"
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for _, _, prompt in SCENES:
        # Once as told by the demo, then as seen by the monitor, then in the answer.
        assert done.stdout.count(prompt) >= 3
    first = SCENES[0][2]
    assert expected_answer(first).splitlines()[0] in done.stdout


def test_without_root_the_demo_says_so_in_one_line() -> None:
    require("root")
    nobody = pwd.getpwnam("nobody")
    # The interpreter may lie where nobody else can look: import first, then give up being root.
    program = (
        "import os, sys, xtask.demo;"
        f"os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid}); sys.exit(xtask.demo.main())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )

    assert done.returncode == CANNOT_RUN
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "needs root" in done.stderr

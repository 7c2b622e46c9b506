"""What a user installs is complete, and can be built from what we publish."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import busted
from tests.requirements import ROOT, require
from xtask import ebpf


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, and a wheel built from it and nothing else."""
    require("clang")
    directory = tmp_path_factory.mktemp("dist")
    # The build tools are in .venv already: no isolation, so no network.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_the_wheel_ships_the_package_and_the_objects_for_both_architectures(dist: Path) -> None:
    (wheel,) = dist.glob(f"busted-{busted.__version__}-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/busted").rglob("*.py")}
    objects = {f"busted/kernel/objects/{name}" for name in ebpf.object_names()}
    policies = {f"busted/{p.relative_to(ROOT)}" for p in (ROOT / "policies").rglob("*.*")}
    licenses = {
        f"busted-{busted.__version__}.dist-info/licenses/{n}" for n in ("LICENSE", "bpf/LICENSE")
    }

    assert sources | objects | policies | licenses | {"busted/py.typed", "busted/ml/model.json"} <= names
    assert {name for name in names if name.startswith("busted/") and "objects" in name} == objects


def test_the_wheel_knows_its_command_its_licenses_and_every_extra(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        info = f"busted-{busted.__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        commands = archive.read(f"{info}/entry_points.txt").decode()

    assert "busted = busted.cli.main:main" in commands
    assert metadata["License-Expression"] == "MIT AND GPL-2.0-only"
    assert "full" in metadata.get_all("Provides-Extra", [])

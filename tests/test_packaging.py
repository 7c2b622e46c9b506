"""What a user installs is complete, and can be built from what we publish."""

import hashlib
import subprocess
import sys
import tarfile
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

    assert (
        sources | objects | policies | licenses | {"busted/py.typed", "busted/ml/model.json"}
        <= names
    )
    assert {name for name in names if name.startswith("busted/") and "objects" in name} == objects


def test_the_source_has_what_the_wheel_is_built_from_and_no_object(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"bpf/tls.bpf.c", "hatch_build.py", "xtask/ebpf.py", "pyproject.toml"} <= names
    assert {"src/busted/ui/static/index.html", "policies/default/default.rego"} <= names
    assert [name for name in names if name.endswith(".o")] == []


def test_each_object_is_for_the_architecture_in_its_name(dist: Path) -> None:
    """BPF code is the same for both; what they are compiled against is not."""
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        objects = {Path(n).name: archive.read(n) for n in archive.namelist() if n.endswith(".o")}
    by_architecture = {
        machine: {name.replace(machine, "*") for name in objects if machine in name}
        for machine in ("x86_64", "aarch64")
    }

    assert all(content.startswith(b"\x7fELF") for content in objects.values())
    # Perf buffers are for kernels that have x86-64 only.
    assert by_architecture["aarch64"]
    assert by_architecture["aarch64"] <= by_architecture["x86_64"]
    assert objects["tls.x86_64.bpf.o"] != objects["tls.aarch64.bpf.o"]


def test_a_second_build_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    """From another directory, with objects that were compiled there."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    hashes = [
        {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in directory.glob("*.whl")
        }
        for directory in (dist, tmp_path)
    ]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 1


def test_the_wheel_knows_its_command_its_licenses_and_every_extra(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        info = f"busted-{busted.__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        commands = archive.read(f"{info}/entry_points.txt").decode()

    assert "busted = busted.cli.main:main" in commands
    assert metadata["License-Expression"] == "MIT AND GPL-2.0-only"
    assert "full" in metadata.get_all("Provides-Extra", [])

"""What a release has beside wheel and source: a bill of materials, checksums, a signature."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.requirements import ROOT, require
from xtask import release


def test_the_bill_names_every_locked_package_and_what_is_in_the_page() -> None:
    bill = release.bill_of_materials("1.2.3")
    lock = (ROOT / "requirements/runtime.lock").read_text()
    wanted = {f"pkg:pypi/{n}@{v}" for n, v in re.findall(r"^(\S+)==([^\s;]+)", lock, re.M)}
    told = {component["purl"] for component in bill["components"]}

    assert {purl for purl in told if purl.startswith("pkg:pypi/")} == wanted
    assert any(purl.startswith("pkg:npm/preact@") for purl in told)
    assert not any("vite" in purl or "typescript" in purl for purl in told)
    assert len(told) == len(bill["components"])


def test_the_bill_is_the_same_each_time_and_another_for_another_version() -> None:
    assert release.bill_of_materials("1.2.3") == release.bill_of_materials("1.2.3")
    serials = {release.bill_of_materials(v)["serialNumber"] for v in ("1.2.3", "1.2.4")}
    assert len(serials) == 2
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", serial) for serial in serials)


def test_a_package_for_some_machines_says_which() -> None:
    bill = release.bill_of_materials("1.2.3")
    (decoder,) = [c for c in bill["components"] if c["name"] == "iced-x86"]

    assert decoder["properties"] == [
        {"name": "busted:marker", "value": "platform_machine == 'x86_64'"}
    ]
    assert json.loads(json.dumps(bill)) == bill


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("busted-1.2.3-py3-none-any.whl", True),
        ("busted-1.2.3.tar.gz", True),
        ("busted-1.2.3.cdx.json", True),
        ("busted_1.2.3_arm64_trixie.deb", True),
        ("busted-1.2.30.tar.gz", False),
        ("busted-11.2.3.tar.gz", False),
        ("SHA256SUMS", False),
    ],
)
def test_files_of_this_version_are_told_from_others(name: str, expected: bool) -> None:
    assert release.is_of("1.2.3", name) == expected


def test_checksums_are_as_sha256sum_takes_them(tmp_path: Path) -> None:
    file = tmp_path / "busted-1.2.3.tar.gz"
    file.write_bytes(b"x")
    sums = tmp_path / release.SUMS
    sums.write_text(release.checksums([file]))
    check = ["sha256sum", "--check", "--strict", "--quiet", sums.name]

    assert subprocess.run(check, cwd=tmp_path).returncode == 0
    file.write_bytes(b"y")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


def test_without_a_key_nothing_is_signed_and_an_old_signature_goes(tmp_path: Path) -> None:
    sums = tmp_path / release.SUMS
    sums.write_text("")
    old = tmp_path / f"{release.SUMS}.asc"
    old.write_text("old")

    assert release.sign(sums, "") == "not signed: BUSTED_RELEASE_KEY holds no key"
    assert not old.exists()


def gpg(home: Path, *arguments: str) -> str:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """A keyring with a key that was just made, and that key."""
    require("gpg")
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    try:
        gpg(home, "--passphrase", "", "--quick-generate-key", "release@busted.example", "ed25519")
        return home, gpg(home, "--armor", "--export-secret-keys")
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


def test_with_a_key_the_signature_is_that_keys(tmp_path: Path, key: tuple[Path, str]) -> None:
    home, secret = key
    sums = tmp_path / release.SUMS
    sums.write_text("0  x\n")

    assert release.sign(sums, secret) == "signed: dist/SHA256SUMS.asc"
    gpg(home, "--verify", f"{sums}.asc", str(sums))
    sums.write_text("1  x\n")
    with pytest.raises(subprocess.CalledProcessError):
        gpg(home, "--verify", f"{sums}.asc", str(sums))

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from busted.cli.main import main
from busted.kernel import stripped
from tests.requirements import require

SOURCE = """
int SSL_write(void *ssl, const void *buffer, int n) { return n * 3; }
int SSL_read(void *ssl, void *buffer, int n) { return n * 5; }
int SSL_free(void *ssl) { return 7; }
"""
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 code")


def busted(*args: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, args)), prog_name="busted")


def compiled(path: Path, *options: str) -> Path:
    command = ["gcc", "-O1", "-x", "c", "-", "-shared", "-fPIC", *options, "-o", str(path)]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    return path


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file that has TLS functions of its own, which nobody else may call."""
    require("gcc")
    return compiled(tmp_path / "tool", "-fvisibility=hidden", f"-Wl,--build-id=0x{BUILD_ID}")


@pytest.fixture
def bare(program: Path) -> Path:
    path = program.with_name("bare")
    subprocess.run(["strip", "-s", program, "-o", path], check=True)
    return path


@pytest.fixture
def signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in the place of this host's."""
    directory = tmp_path / "signatures"
    directory.mkdir()
    read = stripped.local_signatures
    monkeypatch.setattr(stripped, "local_signatures", lambda: read(directory))
    yield directory


def places(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()[1:]


@pytest.mark.needs("root")
def test_a_signature_finds_in_the_stripped_twin_what_symbols_told(
    program: Path, bare: Path, signatures: Path
) -> None:
    told = places(busted("signature", "check", program))
    assert len(told) == 3
    assert busted("signature", "check", bare).exit_code == 1
    (signatures / "tool.toml").write_text(busted("signature", "add", program).stdout)

    found = busted("signature", "check", bare)

    assert places(found) == told
    assert found.stdout.startswith(f"openssl, by a signature; build id {BUILD_ID}\n")


@pytest.mark.needs("root")
def test_symbols_may_stand_in_a_file_of_debug_information(
    program: Path, bare: Path, signatures: Path
) -> None:
    debug = program.with_name("tool.debug")
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    result = busted("signature", "add", bare, "--symbols", debug, "--name", "Tool")
    assert result.stdout.startswith('name = "Tool"\n')
    (signatures / "tool.toml").write_text(result.stdout)
    assert places(busted("signature", "check", bare)) == places(
        busted("signature", "check", program)
    )


@pytest.mark.needs("root")
def test_code_that_is_not_what_the_signature_says_is_left_alone(
    program: Path, bare: Path, signatures: Path
) -> None:
    (signatures / "tool.toml").write_text(busted("signature", "add", program).stdout)
    offset = int(places(busted("signature", "check", program))[0].split()[0], 16)
    content = bytearray(bare.read_bytes())
    content[offset] ^= 1
    bare.write_bytes(content)
    assert busted("signature", "check", bare).exit_code == 1


@pytest.mark.needs("root")
def test_a_signature_that_others_may_write_or_that_is_none_is_left_out(
    program: Path, bare: Path, signatures: Path
) -> None:
    file = signatures / "tool.toml"
    text = busted("signature", "add", program).stdout
    for content, mode in ((text, 0o666), (text.replace("tls_write", "tls_wrote"), 0o600)):
        file.write_text(content)
        file.chmod(mode)
        assert busted("signature", "check", bare).exit_code == 1
    file.write_text(text)
    assert busted("signature", "check", bare).exit_code == 0


def test_without_symbols_or_a_build_id_it_says_what_is_missing(bare: Path, tmp_path: Path) -> None:
    result = busted("signature", "add", bare)
    assert result.exit_code == 1
    assert "no symbols" in result.stderr
    result = busted("signature", "add", compiled(tmp_path / "other", "-Wl,--build-id=none"))
    assert result.exit_code == 1
    assert "no build id" in result.stderr
    other = compiled(tmp_path / "another")
    result = busted("signature", "add", bare, "--symbols", other)
    assert "another build" in result.stderr


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    for command in ("add", "check"):
        result = busted("signature", command, tmp_path / "text")
        assert result.exit_code == 1
        assert result.stderr.startswith("busted: cannot read ")

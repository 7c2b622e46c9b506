from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from busted.cli.main import main
from tests.unit.agent.test_audit_log import entries, write


def verify(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", "verify", *map(str, args)], prog_name="busted")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(tmp_path / "audit.log", 3)
    return tmp_path / "audit.log"


def test_a_whole_log_ends_with_0_and_its_last_hash(log: Path) -> None:
    result = verify(log)

    assert result.exit_code == 0
    assert result.stdout == f"4 lines, the last number 4, hash {entries(log)[-1]['hash']}\n"


def test_damage_ends_with_1_and_is_told_by_file_and_line(log: Path) -> None:
    log.write_text(log.read_text().replace('"event":"1"', '"event":"7"'))

    result = verify(log)

    assert result.exit_code == 1
    assert f"{log}:3: it is not as it was written\n" in result.stdout


def test_a_line_cut_by_a_crash_is_told_and_no_damage(log: Path) -> None:
    with open(log, "a") as file:
        file.write('{"number":5,')

    result = verify(log)

    assert result.exit_code == 0
    assert "cut short by a crash" in result.stdout


def test_a_hash_kept_elsewhere_must_be_found(log: Path) -> None:
    assert verify(log, "--known", entries(log)[1]["hash"]).exit_code == 0

    result = verify(log, "--known", "0" * 64)
    assert result.exit_code == 1
    assert "no line has the hash" in result.stdout


def test_rotated_files_are_one_log_and_older_ones_may_be_left_out(tmp_path: Path) -> None:
    first, *rest = write(tmp_path / "log", 12, max_file_bytes=1500)

    assert verify(first, *rest).exit_code == 0
    result = verify(*rest)
    assert result.exit_code == 0
    assert "what came before was not given" in result.stdout


def test_a_file_that_is_not_there_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    result = verify(tmp_path / "nothing")

    assert result.exit_code == 1
    assert result.stderr == f"busted: cannot read {tmp_path}/nothing: No such file or directory\n"

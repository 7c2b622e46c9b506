import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.agent import config_file
from busted.agent.config import ConfigError
from busted.agent.config_file import find, read
from busted.agent.settings import Value


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_each_setting_says_where_it_was_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "# ours\n[hold]\nseconds = 5\n\n[monitor]\ncomm = ['claude', 'node']\n"
        "[policy]\ndirectory = '/p'\n[[agents]]\nname = 'x'\nexecutables = ['x']\n"
        "[pii]\nphone_region = 'DE'\n",
    )

    file = read(path)

    assert file.values == {
        "hold.seconds": Value(5.0, "file", f"{path}, line 3"),
        "monitor.comm": Value(("claude", "node"), "file", f"{path}, line 6"),
        "policy.directory": Value(Path("/p"), "file", f"{path}, line 8"),
    }
    assert {table: file.count(table) for table in file.rows} == {"agents": 1, "pii": 1}
    assert file.tables.agents.recognise("/bin/x", ["x"]) == "x"


def test_a_setting_may_stand_under_a_dotted_or_inline_name(tmp_path: Path) -> None:
    path = written(tmp_path, "hold.seconds = 5\nmonitor = {format = 'json'}\n")

    values = {key: value.value for key, value in read(path).values.items()}
    assert values == {"hold.seconds": 5.0, "monitor.format": "json"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[provider]", ", line 1: nothing is called 'provider'; did you mean 'providers'?"),
        ("\n[hodl]", ", line 2: nothing is called 'hodl'; did you mean 'hold'?"),
        ("[xyz]", ", line 1: nothing is called 'xyz'; there are monitor, network, "),
        (
            "seconds = 1",
            ", line 1: nothing is called 'seconds'; "
            "did you mean 'loops.seconds' or 'hold.seconds'?",
        ),
        (
            "identity_store = 'x'",
            ", line 1: nothing is called 'identity_store'; did you mean 'identity.store'?",
        ),
        (
            "[hold]\n\nsecond = 1",
            ", line 3: nothing is called 'hold.second'; did you mean 'hold.seconds'?",
        ),
        (
            "[monitor]\nnetwork = 'all'",
            ", line 2: nothing is called 'monitor.network'; did you mean 'network.connections'?",
        ),
        ("[metrics]\nx = 1", ", line 2: nothing is called 'metrics.x'; there are listen, tok"),
        ("hold = 1", ", line 1: hold is no table: begin it with [hold]"),
        (
            "[hold]\nseconds = 500",
            ", line 2: hold.seconds: 500 is not a number of seconds from 0.1 to 120",
        ),
        ("[hold]\nseconds = '5'", ", line 2: hold.seconds: '5' is not a number of seconds fr"),
        ("[hold]\nenabled = 1", ", line 2: hold.enabled: 1 is not true or false"),
        (
            "[monitor]\nring_bytes = 100000",
            ", line 2: monitor.ring_bytes: 100000 is not a power of two from 65536 to 1073741824",
        ),
        ("[monitor]\nring_bytes = 65536.0", ", line 2: monitor.ring_bytes: 65536 is not a po"),
        ("[monitor]\nring_bytes = true", ", line 2: monitor.ring_bytes: True is not a power"),
        (
            "[monitor]\nformat = 'xml'",
            ", line 2: monitor.format: 'xml' is not one of text, verbose, json",
        ),
        ("[monitor]\nformat = []", ", line 2: monitor.format: [] is not one of text, ver"),
        ("[monitor]\npid = 1", ", line 2: monitor.pid: 1 is no list: put it between brackets"),
        ("[monitor]\npid = [0]", ", line 2: monitor.pid: 0 is not a whole number from 1 to"),
        (
            "[hold]\nbytes = [0x" + "f" * 10_000 + "]",
            ", line 2: hold.bytes: a number that large is not a whole number",
        ),
        ("[policy]\ndirectory = 1", ", line 2: policy.directory: 1 is not a path"),
        (
            "[metrics]\nlisten = 'localhost:1'",
            ", line 2: metrics.listen: 'localhost:1' is not ADDRESS:PORT, as 127.0.0.1:9464 is",
        ),
        ("= 1", " is no TOML: "),
        ("a = " + "[" * 5_000, " is no TOML: "),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line_and_what_may_be_meant(
    tmp_path: Path, text: str, told: str
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}{told}")


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    for mode in (0o664, 0o646):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="is refused, since others than its owner can write"):
            read(path)
    path.chmod(0o444)
    assert read(path).values == {}


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "")
    status = path.stat()
    if status.st_uid == 0:  # root's files are anybody's to obey
        os.chown(path, 65534, -1)
        status = path.stat()
    monkeypatch.setattr("os.geteuid", lambda: status.st_uid + 1)

    with pytest.raises(ConfigError, match=f"belongs to another user .{status.st_uid}."):
        read(path)


def test_the_null_device_is_a_file_that_says_nothing() -> None:
    assert read(Path("/dev/null")).values == {}


def test_files_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        read(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)
    path = written(tmp_path, "#" * 11)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is no TOML"):
        read(path)
    monkeypatch.setattr(config_file, "MAX_CONFIG_BYTES", 10)
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        read(written(tmp_path, "#" * 11))


def test_the_hosts_file_is_found_where_there_is_one(tmp_path: Path) -> None:
    directory = {"CONFIGURATION_DIRECTORY": f"{tmp_path}:/other"}

    assert find(directory) is None
    path = written(tmp_path, "")
    assert find(directory) == path
    # A name that was given is meant, also when there is no such file.
    assert find(directory | {"BUSTED_CONFIG": "/nowhere.toml"}) == Path("/nowhere.toml")


def test_a_file_that_may_be_there_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)

    assert find({"CONFIGURATION_DIRECTORY": str(tmp_path)}) == tmp_path / "config.toml"


@given(content=st.binary(max_size=100) | st.text("[]{}=.,\"' \nproviders1", max_size=100))
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o644)
    try:
        tables = read(path).tables
    except ConfigError:
        return
    assert tables.options.providers.find("api.openai.com") is not None

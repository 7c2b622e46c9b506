import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from busted.agent.settings_table import SETTINGS
from busted.cli.main import main
from tests.requirements import ROOT


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, arguments)], env=env, prog_name="busted")


def written(directory: Path, text: str, name: str = "config.toml") -> Path:
    path = directory / name
    path.write_text(text)
    path.chmod(0o644)
    return path


def shown(*arguments: str | Path, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = run("show", "--format", "json", *arguments, env=env)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_setting_is_shown_with_its_default() -> None:
    found = shown()

    assert found["file"] is None
    assert found["settings"].keys() == {setting.key for setting in SETTINGS}
    assert {row["source"] for row in found["settings"].values()} == {"default"}
    assert found["outputs"] == []
    assert found["settings"]["hold.seconds"]["value"] == 10.0


def test_each_value_says_whether_file_environment_or_option_gave_it(tmp_path: Path) -> None:
    path = written(tmp_path, "[hold]\nseconds = 3\nbytes = 70000\n[monitor]\ncomm = ['node']\n")
    environment = {"BUSTED_CONFIG": str(path), "BUSTED_HOLD_BYTES": "80000", "BUSTED_FORMAT": ""}

    # The last is refused by a monitor: it is shown all the same.
    settings = shown("--network", "all", "--no-hold", env=environment)["settings"]

    assert settings["hold.seconds"] == {"value": 3.0, "source": "file", "place": f"{path}, line 2"}
    assert settings["hold.bytes"] == {
        "value": 80000,
        "source": "environment",
        "place": "BUSTED_HOLD_BYTES",
    }
    assert settings["network.connections"] == {
        "value": "all",
        "source": "option",
        "place": "--network",
    }
    assert settings["hold.enabled"]["value"] is False
    assert settings["monitor.comm"]["value"] == ["node"]
    assert settings["monitor.format"]["source"] == "default"


def test_the_hosts_file_is_read_unless_another_is_named(tmp_path: Path) -> None:
    ours = written(tmp_path, "[hold]\nseconds = 3\n")
    other = written(tmp_path, "", "other.toml")
    environment = {"CONFIGURATION_DIRECTORY": str(tmp_path)}

    assert shown(env=environment)["file"] == str(ours)
    found = shown("--config", other, env=environment)
    assert found["file"] == str(other)
    assert found["settings"]["hold.seconds"]["value"] == 10.0
    assert shown("--config", "/dev/null", env=environment)["settings"] == shown()["settings"]


def test_what_is_shown_is_a_configuration_file_that_says_the_same(tmp_path: Path) -> None:
    options = ("--comm", "a b", "--ring-bytes", "65536", "--policy", "/etc/p", "--no-lockdown")
    text = run("show", *options).stdout

    again = shown("--config", written(tmp_path, text))["settings"]
    direct = shown(*options)["settings"]
    assert {key: row["value"] for key, row in again.items()} == {
        key: row["value"] for key, row in direct.items()
    }
    assert tomllib.loads(text)["monitor"]["comm"] == ["a b"]


def test_no_secret_is_shown(tmp_path: Path) -> None:
    secret = "planted" + "-value"
    path = written(
        tmp_path,
        f"[[canaries]]\nname = 'x'\nvalue = '{secret}-of-a-canary'\n"
        f"[[outputs]]\nkind = 'webhook'\ntarget = 'https://me:{secret}@h.example:8/{secret}?{secret}'\n"
        f"[monitor]\noutput = ['webhook:https://h.example/{secret}?name=b']\n",
    )

    for form in ("json", "text"):
        printed = run("show", "--format", form, "--config", path).stdout
        assert secret not in printed
        assert "webhook:https://h.example:8" in printed
        assert "canaries" in printed


def test_a_file_that_a_monitor_takes_is_told_so(tmp_path: Path) -> None:
    path = written(tmp_path, "[hold]\nseconds = 3\n[[agents]]\nname = 'x'\n")

    result = run("check", path, env={"BUSTED_HOLD_SECONDS": "nonsense of another shell"})

    assert (result.exit_code, result.stdout) == (0, f"{path}: 1 settings, 1 rows\n")
    here = run("check", env={"CONFIGURATION_DIRECTORY": str(tmp_path)})
    assert here.stdout == result.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[hold]\nsecond = 3", "config.toml, line 2: nothing is called 'hold.second'"),
        ("[[outputs]]\nkind = 'fax'", "row 1 of outputs: no output is called 'fax'"),
        ("[monitor]\noutput = ['fax:1']", "no output is called 'fax'"),
        ("[enforce]\nenabled = true", "config.toml, line 2: enforcing needs --policy"),
        ("[policy]\naudit_log = 'x'", "config.toml, line 2: an audit log needs --policy"),
        (
            "[policy]\ndirectory = 'p'\n[enforce]\nshadow = true\n[network]\nconnections = 'none'",
            "config.toml, line 4: enforcing needs connections",
        ),
        ("[metrics]\nlisten = '0.0.0.0:1'", "beyond loopback needs"),
    ],
)
def test_a_file_that_no_monitor_takes_is_a_mistake_in_use(
    tmp_path: Path, text: str, told: str
) -> None:
    result = run("check", written(tmp_path, text))

    assert result.exit_code == 2
    assert told in result.stderr


def test_what_has_no_effect_may_stand_in_a_file(tmp_path: Path) -> None:
    text = "[hold]\nseconds = 3\n[enforce]\non_deny = 'kill'\n[policy]\non_error = 'deny'\n"

    assert run("check", written(tmp_path, text)).exit_code == 0


def test_without_a_file_there_is_nothing_to_check(tmp_path: Path) -> None:
    result = run("check", env={"CONFIGURATION_DIRECTORY": str(tmp_path)})

    assert result.exit_code == 2
    assert "name a FILE" in result.stderr


def test_the_file_that_is_shipped_is_one_that_a_monitor_takes(tmp_path: Path) -> None:
    shipped = (ROOT / "deploy/config.toml").read_text()

    assert run("check", written(tmp_path, shipped)).exit_code == 0
    # And with all that stands there as an example.
    whole, count = re.subn(r"^# (\w+ = .*|\[.*\])$", r"\1", shipped, flags=re.MULTILINE)
    assert count > len(SETTINGS)
    assert run("check", written(tmp_path, whole)).stderr == ""

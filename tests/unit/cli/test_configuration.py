import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from busted.cli.main import USAGE, main
from tests import recordings
from tests.recordings import exchange, record

CONFIG = """
[[providers]]
id = "mine"
name = "Mine"
hosts = ["*.openai.com"]

[[prices]]
provider = "mine"
models = ["gpt-4o"]
input = 1000000
output = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "busted.toml"
    path.write_text(CONFIG)
    return path


def run(*args: str | Path, input: bytes = b"") -> tuple[int, list[dict[str, Any]], str]:
    result = CliRunner().invoke(main, list(map(str, args)), input=input, prog_name="busted")
    return result.exit_code, list(map(json.loads, result.stdout.splitlines())), result.stderr


def test_a_replay_tells_the_operators_providers_and_prices(tmp_path: Path, config: Path) -> None:
    recording = record(tmp_path / "a.recording", exchange("Hello?", "Hello."))

    code, events, errors = run("replay", recording, "--format", "json", "--config", config)

    assert (code, errors) == (0, "")
    actions = [event["action"] for event in events]
    (response,) = (action for action in actions if action["type"] == "Response")
    assert response["provider"] == "mine"
    assert response["cost"] == response["usage"]["input"]


def test_classify_tells_them_of_lines_and_of_connections(tmp_path: Path, config: Path) -> None:
    payload = recordings.request("Hello?")
    line = {"payload_b64": base64.b64encode(payload).decode(), "direction": "write"}
    (tmp_path / "written").write_bytes(payload)

    code, (found,), _ = run("classify", "--config", config, input=json.dumps(line).encode())
    assert (code, found["provider"], found["provider_name"]) == (0, "mine", "Mine")

    code, events, _ = run("classify", "--config", config, "--write", tmp_path / "written")
    assert (code, events[0]["action"]["provider"]) == (0, "mine")


@pytest.mark.parametrize("command", [["replay", "none"], ["classify"], ["monitor"]])
def test_a_bad_file_ends_every_command_with_one_line(command: list[str], config: Path) -> None:
    config.write_text(CONFIG.replace('"mine"', "1", 1))

    code, printed, errors = run(*command, "--config", config)

    assert (code, printed) == (USAGE, [])
    assert errors == (
        f"busted: {config}: row 1 of providers: Expected `str`, got `int` - at `$.id`\n"
    )

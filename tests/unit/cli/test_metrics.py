from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from busted.agent.endpoint import Endpoint
from busted.cli.main import main
from busted.cli.metrics import serving
from busted.sinks.channel import WrongOutput
from busted.sinks.metric_sources import Sources


def complaint(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["monitor", *arguments], prog_name="busted")
    assert result.exit_code == 2
    return result.stderr


@pytest.mark.parametrize("text", ["9464", "localhost:9464", "127.0.0.1:", "::1", "127.0.0.1:70000"])
def test_what_is_no_address_and_port_is_a_mistake_in_use(text: str) -> None:
    assert "is not ADDRESS:PORT" in complaint("--metrics", text)


@pytest.mark.parametrize("text", ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464"])
def test_beyond_loopback_it_takes_a_token(text: str) -> None:
    assert "needs --metrics-token-file" in complaint("--metrics", text)


def test_a_token_for_nothing_is_a_mistake_in_use(tmp_path: Path) -> None:
    assert "without --metrics" in complaint("--metrics-token-file", str(tmp_path / "token"))


def test_a_token_that_cannot_be_read_is_a_mistake_in_use(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("")
    assert "empty" in complaint("--metrics", "192.0.2.1:1", "--metrics-token-file", str(file))


def test_an_address_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint("127.0.0.1", taken.getsockname()[1])
        cannot = pytest.raises(WrongOutput, match="cannot serve metrics")
        with cannot, serving(endpoint, None, Sources()):
            pass

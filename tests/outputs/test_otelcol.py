"""Against a real OpenTelemetry collector."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from busted.events import Action, Event, to_json
from busted.sinks.delivery import Delivery
from busted.sinks.otlp import OtlpChannel, OtlpSettings
from busted.sinks.spool import Spool
from tests.outputs.collector import COLLECTOR, configuration
from tests.outputs.processes import free_port, server
from tests.unit.sinks.peers import QUICK, balance, running, until
from tests.unit.sinks.samples import ACTIONS, PROMPT, RESPONSE, TOOL_CALL, event

pytestmark = pytest.mark.needs("otelcol")


def made() -> list[Event]:
    turn: list[Action] = [PROMPT, RESPONSE, TOOL_CALL]
    said = turn * 40 + list(ACTIONS)
    return [
        msgspec.structs.replace(event(action), id=f"{number:026}", exchange_id=f"e{number // 3}")
        for number, action in enumerate(said)
    ]


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_logs_and_spans_arrive_as_conventions_name_them_over_an_outage(
    tmp_path: Path, encoding: str
) -> None:
    port, events, log = free_port(), made(), tmp_path / "collector.log"
    (tmp_path / "collector.yaml").write_text(configuration(port))
    command = [str(COLLECTOR), "--config", str(tmp_path / "collector.yaml")]
    settings = msgspec.convert({"encoding": encoding, "timeout": 5.0}, OtlpSettings)

    async def run() -> Delivery:
        channel = OtlpChannel(f"http://127.0.0.1:{port}", settings)
        delivery = Delivery("otlp", channel, QUICK, Spool(tmp_path / "spool.db", 1 << 20))
        for one in events:
            delivery.put(one.id, to_json(one))
        async with running(delivery):
            await until(lambda: delivery.figures().spooled == len(events))
            with server(command, log, port):
                await until(lambda: delivery.figures().delivered == len(events))
        return delivery

    delivery = asyncio.run(run())
    assert balance(delivery) == (len(events), len(events))
    assert delivery.figures().lost == {}
    told = log.read_text()
    answers = [one for one in events if type(one.action).__name__ == "Response"]
    assert len(re.findall(r"^LogRecord #", told, re.MULTILINE)) == len(events)
    assert len(re.findall(r"^Span #", told, re.MULTILINE)) == len(answers)
    # Each with its body, which is the event itself.
    assert all(one.id in told for one in events)
    assert told.count("EventName: busted.Prompt") >= 40
    for line in (
        "-> service.name: Str(busted)",
        "-> gen_ai.request.model: Str(gpt-4o)",
        "-> gen_ai.provider.name: Str(openai)",
        "-> gen_ai.usage.input_tokens: Int(18)",
        "-> gen_ai.operation.name: Str(chat)",
        "Name           : chat gpt-4o",
    ):
        assert line in told, line
    # A prompt, its answer and their tool calls are of one trace.
    traces = re.findall(r"Trace ID\s*: (\w{32})", told)
    assert len(set(traces)) < len(events) < len(traces)

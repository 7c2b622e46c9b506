"""Invariant: a damaged recording is told as one, and what it still gives are events."""

import io
from pathlib import Path

from busted import events
from busted.agent.recording import Frames, RecordingError
from busted.agent.replay import Replay
from tests.golden.expected import HERE

SEEDS = [(HERE / f"{name}.rec").read_bytes() for name in ("curl_openai", "mcp_auto")]


def one_input(data: bytes) -> None:
    frames = Frames(Path("recording"), io.BytesIO(data))
    try:
        replay = Replay(frames.header())
        for event in replay.events(frames):
            events.to_json(event)
    except RecordingError as error:
        assert str(error).startswith("recording ")

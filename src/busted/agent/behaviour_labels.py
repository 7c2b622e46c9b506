"""Samples out of a recording: windows of connections whose plaintext says what they were.

Strategy: the recording is replayed, and its traffic is remembered; then each window gets the label
of its connection. What nobody could read has none, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from busted.agent.behaviour import Behaviour, shipped_model
from busted.agent.config import Tables
from busted.agent.recording import Frame, RawRecord, read
from busted.agent.replay import Replay
from busted.ml.history import History
from busted.ml.samples import LLM, Sample
from busted.records import Traffic, Type, decode

# What was decoded and is no model's.
OTHER = "decoded"


def labelled(path: Path, tables: Tables) -> list[Sample]:
    """Return the windows of a recording that have a label. Raises RecordingError."""
    header, frames = read(path)
    behaviour, history = Behaviour(shipped_model()), History()
    windows: list[tuple[Traffic, Sample]] = []

    def watched() -> Iterator[Frame]:
        for frame in frames:
            yield frame
            if isinstance(frame, RawRecord) and frame.raw[:1] == bytes([Type.TRAFFIC]):
                take(decode(frame.raw))

    def take(record: object) -> None:
        if not isinstance(record, Traffic):
            return
        if not record.window:
            history.opened(record.key, record.remote, record.began_ns)
        context = history.context(record.key, record.window, record.time_ns)
        source = f"{path.name} {record.remote_port}"
        sample = Sample("train", OTHER, source, record.cookie, context, record.slices)
        windows.append((record, sample))

    for _ in Replay(header, tables, behaviour).events(watched()):
        pass
    return [
        Sample(s.part, LLM if label else OTHER, s.source, s.connection, s.context, s.slices)
        for record, s in windows
        if (label := behaviour.labelled(record.cookie)) is not None
    ]

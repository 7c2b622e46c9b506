from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from busted.events import to_json
from busted.sinks.channel import ALL_TAKEN, Item, Unavailable, WrongOutput
from busted.sinks.history_output import HistoryChannel, HistorySettings
from busted.sinks.history_query import Filter, HistoryReader
from tests.unit.sinks.samples import PROMPT, event

SHOWN = event(PROMPT)
ITEM = Item(SHOWN.id, 0.0, to_json(SHOWN))


def test_a_batch_is_found_in_the_history(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    channel = HistoryChannel(str(path), HistorySettings())
    assert asyncio.run(channel.send([ITEM])) == ALL_TAKEN
    assert asyncio.run(channel.send([ITEM])) == ALL_TAKEN
    asyncio.run(channel.close())
    with closing(HistoryReader(path)) as reader:
        assert reader.last(Filter(), 10) == [SHOWN]


def test_what_cannot_be_read_back_is_refused_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    channel = HistoryChannel(str(path), HistorySettings())
    sent = asyncio.run(channel.send([Item("1", 0.0, b"{}"), ITEM]))
    assert sent.refused == 1
    asyncio.run(channel.close())
    with closing(HistoryReader(path)) as reader:
        assert reader.last(Filter(), 10) == [SHOWN]


def test_a_history_that_cannot_be_written_is_offered_the_batch_again(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    channel = HistoryChannel(str(path), HistorySettings())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DROP TABLE total")
        with pytest.raises(Unavailable, match="cannot be written"):
            asyncio.run(channel.send([ITEM]))
    asyncio.run(channel.close())


def test_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WrongOutput, match="cannot keep a history"):
        HistoryChannel(str(tmp_path / "file" / "history.db"), HistorySettings())

"""`busted classify`: what bytes mean, for people who have bytes and no kernel.

Without files it reads one buffer a line, as NDJSON, and answers with a line each. With files it
reads the two byte streams of one connection and prints its events.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from busted import classifier, state
from busted.agent import host_key, private_log
from busted.agent.clock import Clock
from busted.agent.config import Tables
from busted.agent.content import ContentFilter
from busted.agent.pipeline import Origin
from busted.agent.replay import connection_events
from busted.classifier import Direction
from busted.classifier.options import Options
from busted.cli.configuration import config_option, keyed
from busted.cli.output import content_filter, content_option, output_error, shown, standard_output
from busted.sinks.writer import deliver

# The largest requests seen are 16 MB; base64 makes them a third larger.
MAX_LINE_BYTES = 64 << 20
# How much of a file is read at once.
PIECE_BYTES = 64 << 10


class ClassifyError(Exception):
    """Some of the input cannot be read."""


class Line(msgspec.Struct, frozen=True):
    """One line of the input; msgspec decodes the base64 of a bytes field."""

    payload_b64: bytes
    direction: Direction
    sni: str | None = None


@click.command()
@click.option("--write", type=click.Path(path_type=Path), metavar="FILE", help="Bytes written.")
@click.option("--read", type=click.Path(path_type=Path), metavar="FILE", help="Bytes read.")
@click.option("--sni", metavar="HOST", help="The server's name, with --write and --read.")
@content_option
@config_option
def classify(
    write: Path | None, read: Path | None, sni: str | None, content: str, tables: Tables
) -> None:
    """Say what bytes mean, without a kernel.

    Answers each line of standard input, such as {"id": 1, "payload_b64": "...", "direction":
    "write", "sni": null}, with a line of JSON. A bad line is answered with its error, and the
    exit code is 1 in the end.

    With --write and --read, which are the two byte streams of one connection as its client saw
    them, prints the events of that connection instead, one JSON object a line.
    """
    if sni and not (write or read):
        raise click.UsageError("--sni goes with --write and --read; each line has its own.")
    tables = keyed(tables, host_key.load(state.directory(), create=False).key)
    scanner = tables.options.scanner
    private_log.obey(content_filter(content, scanner))
    bad_lines = 0
    out = standard_output()
    try:
        if write or read:
            show = shown("json", content, scanner)
            origin = Origin(socket.gethostname(), _now(), os.urandom(16))
            written, answered = _pieces(write), _pieces(read)
            for event in connection_events(written, answered, sni, origin, tables.options):
                deliver(out, show(event))
        else:
            allowed = content_filter(content, scanner)
            for line in _lines():
                answer = _answer(line, allowed, tables.options)
                bad_lines += "error" in answer
                deliver(out, msgspec.json.encode(answer) + b"\n")
    except BrokenPipeError:
        return  # the reader has seen enough
    except OSError as error:
        raise output_error(error) from error
    if bad_lines:
        raise ClassifyError(
            f"{bad_lines:,} bad lines in the input; their answers say what is wrong"
        )


def _now() -> Clock:
    wall_ns = time.time_ns()
    return Clock(wall_ns, wall_ns)


def _pieces(path: Path | None) -> Iterator[bytes]:
    if path is None:
        return
    try:
        with open(path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise ClassifyError(f"cannot read {path}: {error.strerror}") from error


def _lines() -> Iterator[bytes]:
    """Yield the lines of standard input that are not blank; a line over the limit is cut."""
    if sys.stdin is None:  # closed by whoever started us
        return
    try:
        while line := sys.stdin.buffer.readline(MAX_LINE_BYTES):
            end = line
            while end and not end.endswith(b"\n"):
                end = sys.stdin.buffer.readline(MAX_LINE_BYTES)
            if line.strip():
                yield line
    except OSError as error:
        raise ClassifyError(f"cannot read standard input: {error.strerror}") from error


def _answer(line: bytes, allowed: ContentFilter, options: Options) -> dict[str, Any]:
    known: dict[str, Any] = {}
    try:
        given = msgspec.json.decode(line)
        if isinstance(given, dict) and "id" in given:
            known["id"] = given["id"]
        asked = msgspec.convert(given, Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return known | {"error": str(error)}
    found = classifier.classify(asked.payload_b64, asked.direction, asked.sni, options)
    return known | msgspec.structs.asdict(allowed(found))

"""Events as people read them in a terminal: `text`, a few lines each, and `verbose`, everything.

Strategy: pure functions from an event to text; `busted.sinks.writer` takes the text out. What was
captured is hostile: it could move the cursor, retitle the window or hide itself with
right-to-left marks. So every string passes `visible`, which spells out all that does not print.

`text` reads on 80 columns: one line that says who did what, and the first lines of what was
said. What is left out of a text is told. `verbose` cuts nothing.

Left out: the width of characters. Text is cut by characters, so a line of CJK text takes up to
twice the columns and is wrapped by the terminal.
"""

from __future__ import annotations

import errno
import shlex
import textwrap
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from busted.events import (
    A2aRequest,
    A2aResponse,
    Action,
    CanaryDetected,
    Connection,
    ConnectionCoverage,
    Coverage,
    Event,
    FileAccess,
    FileData,
    Identity,
    LoopDetected,
    McpRequest,
    McpResponse,
    Network,
    PiiDetected,
    PolicyDecision,
    ProcessExec,
    Prompt,
    Response,
    ToolCall,
    ToolResult,
)

DEFAULT_WIDTH = 80
# Enough to see what a prompt is about; `verbose` and `json` have the rest.
TEXT_LINES = 3
# A hostile model or tool name must not push everything else off the line.
MAX_WORD = 40
# Enough for a sentence; `verbose` and `json` have all of them.
MAX_REASON = 120

_INDENT = "    "
_ARROWS = {"client": ">>>", "server": "<<<"}
_UNDER_THE_TIME = " " * len("HH:MM:SS.mmm ")
# Spaces wider or narrower than the usual one are common in answers, and joiners are part of
# emoji and of Persian and Indic words; a terminal does nothing odd with them.
_HARMLESS = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\u3000", " "))
_JOINERS = frozenset("\u200c\u200d")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Select Graphic Rendition, ECMA-48 section 8.3.117.
_RESET = "\x1b[0m"
_DENIED = "\x1b[1;31m"
_COLOURS: dict[type[Action], str] = {
    Prompt: "\x1b[36m",
    Response: "\x1b[32m",
    ToolCall: "\x1b[33m",
    ToolResult: "\x1b[33m",
    McpRequest: "\x1b[35m",
    McpResponse: "\x1b[35m",
    A2aRequest: "\x1b[35m",
    A2aResponse: "\x1b[35m",
    PiiDetected: "\x1b[31m",
    CanaryDetected: "\x1b[31m",
    LoopDetected: "\x1b[31m",
    Network: "\x1b[2m",
    ProcessExec: "\x1b[34m",
    FileAccess: "\x1b[34m",
    FileData: "\x1b[34m",
    Coverage: "\x1b[2m",
}


class Console:
    """Renders events for one terminal; an instance is what `Writer` takes."""

    def __init__(
        self,
        *,
        verbose: bool = False,
        colour: bool = False,
        width: int = DEFAULT_WIDTH,
        zone: tzinfo | None = None,
    ) -> None:
        """`width` is in characters; `zone` None shows times in the local zone."""
        self._verbose, self._colour = verbose, colour
        self._width, self._zone = width, zone

    def __call__(self, event: Event) -> bytes:
        """Return the event's lines in UTF-8, the last one ended too."""
        first = textwrap.wrap(
            head(event, self._zone),
            self._width,
            subsequent_indent=_UNDER_THE_TIME,
            break_on_hyphens=False,
        )
        if self._colour:
            denied = event.policy is not None and event.policy.decision == "deny"
            colour = _DENIED if denied else _COLOURS[type(event.action)]
            first = [f"{colour}{line}{_RESET}" for line in first]
        if self._verbose:
            rest = fields(event)
        else:
            rest = excerpt(said(event.action), self._width - len(_INDENT))
        return "\n".join([*first, *(_INDENT + line for line in rest), ""]).encode()


def head(event: Event, zone: tzinfo | None = None) -> str:
    """Return the line that says when, who, and what."""
    words = [_clock(event.time, zone)]
    if not isinstance(event.action, Coverage) or not event.action.of_busted:
        words.append(f"{word(event.process.name)}({event.process.pid})")
    if isinstance(event.action, Network):
        words += _flow(event.action, event.connection)
    else:
        words += _what(event.action)
    return " ".join(filter(None, (*words, *_doubts(event.identity), *_judgement(event.policy))))


def said(action: Action) -> str:
    """Return the text of an action that `text` shows an excerpt of."""
    match action:
        case Prompt():
            return action.user_message or ""
        case Response():
            return action.error or action.text or ""
        case ToolCall():
            return action.arguments or ""
        case ToolResult():
            return action.content or ""
        case McpRequest():
            return action.params or ""
        case McpResponse():
            return action.error or action.result or ""
        case A2aRequest():
            return action.text or ""
        case A2aResponse():
            return action.error or action.text or ""
        case PiiDetected() | CanaryDetected() | LoopDetected() | Network():
            return ""
        case ProcessExec():
            return shlex.join(action.argv)
        case FileAccess():
            return ""
        case FileData():
            return action.content or ""
        case Coverage():
            lines = [f"{library.path} ({library.processes})" for library in action.libraries]
            lines += [f"not watched: {path}: {why}" for path, why in action.unreadable.items()]
            lines += [f"not available here: {what}: {why}" for what, why in action.left_out.items()]
            return "\n".join(lines)


def fields(event: Event) -> list[str]:
    """Return every field of an event as indented lines, in the words of its JSON."""
    return _tree(msgspec.to_builtins(event))


def excerpt(text: str, width: int, lines: int = TEXT_LINES) -> list[str]:
    """Return the first lines of a text, wrapped, ending in `…` when there is more."""
    text = text.strip()
    # No more can be shown than this, and a prompt can be megabytes.
    start = text[: width * lines]
    wrapped: list[str] = []
    for line in start.replace("\r\n", "\n").split("\n"):
        wrapped += textwrap.wrap(visible(line), width)
    if len(wrapped) <= lines and start == text:
        return wrapped
    wrapped = wrapped[:lines]
    wrapped[-1] = wrapped[-1][: width - 1] + "…"
    return wrapped


def cut(text: str, width: int) -> str:
    """Return at most `width` characters of a text, ending in `…` when it was longer."""
    return text if len(text) <= width else text[: width - 1] + "…"


def word(text: str) -> str:
    """Return a name as it may stand in a line: visible, and cut at MAX_WORD."""
    return cut(visible(text), MAX_WORD)


def visible(text: str) -> str:
    """Return a text with everything that does not print spelled out, such as `\\x1b`."""
    text = text.translate(_HARMLESS)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in _JOINERS else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _clock(time: str, zone: tzinfo | None) -> str:
    # Nanoseconds are cut to microseconds, and those to milliseconds here.
    local = datetime.fromisoformat(time).astimezone(zone)
    return local.strftime("%H:%M:%S.") + f"{local.microsecond // 1000:03d}"


def _what(action: Action) -> Iterator[str]:
    match action:
        case Prompt():
            yield f">>> {_model(action)}"
            yield "stream" if action.stream else ""
            yield f"{action.bytes:,} bytes"
            client = action.agent or action.sdk
            yield word(f"{client.name}/{client.version or '?'}") if client else ""
        case Response():
            yield f"<<< {_model(action)} {action.status}"
            yield from _measured(action)
        case ToolCall():
            yield f"<~> {word(action.name)}"
        case ToolResult():
            yield f"~> {word(action.name or action.id or 'tool')}"
            yield "error" if action.is_error else ""
        case McpRequest():
            yield f"{_ARROWS[action.sender]} MCP {word(action.method)}"
            yield word(action.tool or "")
            yield "headers say otherwise" if action.mismatch else ""
        case McpResponse():
            yield f"{_ARROWS[action.sender]} MCP {word(action.method or '')}"
            yield _failure(action)
            yield from (f"changed: {word(tool.name)}" for tool in action.tools if tool.changed)
        case A2aRequest():
            yield f">>> A2A {word(action.method)}"
            yield word(action.agent.name) if action.agent else ""
        case A2aResponse():
            yield f"<<< A2A {word(action.method)}"
            yield word(action.agent.name) if action.agent else ""
            yield word(action.state or "")
            yield _failure(action)
        case PiiDetected():
            way = "sent" if action.direction == "write" else "received"
            kinds = ", ".join(word(kind) for kind in action.kinds)
            actions = ", ".join(word(name) for name in action.actions or (action.where,))
            yield f"!! PII {way} in {actions}: {kinds} ({action.count})"
        case CanaryDetected():
            way = "sent" if action.direction == "write" else "asked for"
            spelled = "" if action.spelling == "plain" else f" as {action.spelling}"
            yield f"!! canary {word(action.name)} {way} in {word(action.where)}{spelled}"
        case LoopDetected():
            yield f"!! loop: {word(action.tool)} called {action.count} times since {action.since}"
        case FileAccess():
            yield f"[o] {action.operation} {visible(action.path)}"
            yield f"-> {visible(action.new_path)}" if action.new_path else ""
            yield action.mode or ""
            yield action.category or ""
            yield from _moved(action)
            yield f"error {errno.errorcode.get(action.error, action.error)}" if action.error else ""
        case FileData():
            arrow = "<-" if action.direction == "read" else "->"
            yield f"{arrow} {visible(action.path)} {action.bytes:,} bytes"
            yield action.category or ""
        case ProcessExec():
            yield f"[x] {visible(action.exe)} for {word(action.agent)}({action.agent_pid})"
        case Coverage(connection=ConnectionCoverage() as coverage):
            yield from _unread(coverage)
        case Coverage():
            yield f"--- {_coverage(action)}"
    if getattr(action, "truncated", False):
        yield "truncated"


def _doubts(identity: Identity | None) -> Iterator[str]:
    if identity is not None and identity.mismatch:
        yield f"does not fit: {', '.join(identity.mismatch)}"


def _judgement(policy: PolicyDecision | None) -> Iterator[str]:
    if policy is None or policy.decision == "allow":
        return
    yield f"=> {policy.decision}"
    yield (policy.enforced or "").replace("_", " ")
    why = policy.reasons[0] if policy.reasons else policy.error
    yield cut(visible(why), MAX_REASON) if why else ""
    yield f"(and {len(policy.reasons) - 1} more)" if len(policy.reasons) > 1 else ""


def _flow(action: Network, connection: Connection | None) -> Iterator[str]:
    yield "<--" if action.operation == "accept" else "-->"
    yield action.operation
    yield word(action.provider or "")
    yield word(action.name or "")
    if connection and connection.dst_ip:
        host = connection.dst_ip
        yield f"[{host}]:{connection.dst_port}" if ":" in host else f"{host}:{connection.dst_port}"
        yield connection.transport if connection.transport != "tcp" else ""
    yield word(action.error or "")
    if action.operation in ("close", "update"):
        yield f"{action.bytes_sent:,} bytes sent, {action.bytes_received:,} received"
        yield f"{action.duration:.2f} s" if action.duration is not None else ""


def _moved(action: FileAccess) -> Iterator[str]:
    for count, way in ((action.bytes_read, "read"), (action.bytes_written, "written")):
        yield f"{count:,} bytes {way}" if count else ""


def _failure(action: McpResponse | A2aResponse) -> str:
    if action.error_code is None and not action.error:
        return ""
    name = action.error_name if isinstance(action, McpResponse) else None
    return f"error {name or action.error_code or ''}".rstrip()


def _model(action: Prompt | Response) -> str:
    # Who serves an unknown host is unknown; the dialect it speaks is not.
    return f"{word(action.provider or action.api)} {word(action.model or '')}".rstrip()


def _measured(action: Response) -> Iterator[str]:
    if action.latency is not None:
        yield f"{action.latency:.2f} s"
    if action.time_to_first_token is not None:
        yield f"first token {action.time_to_first_token:.2f} s"
    if action.usage:
        counts = (action.usage.input, action.usage.output)
        yield "tokens {} in {} out".format(*("?" if n is None else f"{n:,}" for n in counts))


def _unread(coverage: ConnectionCoverage) -> Iterator[str]:
    yield f"[?] {coverage.state}"
    yield word(coverage.name or coverage.provider or "")
    yield coverage.reason or ""
    yield visible(coverage.stack or "")
    read = coverage.decoded_sent + coverage.decoded_received
    yield f"{read:,} of {coverage.wire_sent + coverage.wire_received:,} bytes"


def _coverage(action: Coverage) -> str:
    libraries = len(action.libraries)
    processes = sum(library.processes for library in action.libraries)
    text = (
        f"watching {libraries:,} TLS {'library' if libraries == 1 else 'libraries'} in "
        f"{processes:,} {'process' if processes == 1 else 'processes'}"
        if libraries
        else "no process uses a TLS library yet; watching for one"
    )
    if action.unreadable:
        text += f"; {len(action.unreadable):,} not watched"
    if any(action.lost.values()):
        lost = (f"{place} {count:,}" for place, count in action.lost.items() if count)
        text += "; lost: " + ", ".join(lost)
    return text


def _tree(value: Any) -> list[str]:
    lines: list[str] = []
    if isinstance(value, dict):
        for name, item in value.items():
            block = _tree(item)
            if isinstance(item, dict | tuple) or len(block) > 1:
                lines += [f"{visible(name)}:", *(_INDENT + line for line in block)]
            else:
                lines.append(f"{visible(name)}: {block[0]}")
        return lines
    if isinstance(value, tuple):
        for item in value:
            block = _tree(item)
            lines += [f"- {block[0]}", *(f"  {line}" for line in block[1:])]
        return lines
    if isinstance(value, str):
        return [visible(line) for line in value.split("\n")]
    return [msgspec.json.encode(value).decode()]  # true, false and numbers as in JSON

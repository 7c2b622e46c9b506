"""What goes to standard error obeys the content level too: logs, and tracebacks of our failures.

An exception may quote the bytes it failed on, and a library may log what it was given. So at
`redacted` all of it is redacted as events are. At `none` nobody's words are told: of a library's
message only what stands in its code, of an exception only its type and where it was raised.

Left out: core dumps, which a host's administrator allows or forbids (core(5)), and what native
code prints by itself.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from busted.agent.content import ContentFilter

_OURS = "busted"
# An exception's causes may be a circle.
MAX_CAUSES = 16


class PrivateFormatter(logging.Formatter):
    """Formats log records as the filter's content level allows."""

    def __init__(self, form: str, allowed: ContentFilter) -> None:
        super().__init__(form)
        self._allowed = allowed

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, its traceback included."""
        if self._allowed.level == "none" and record.name.partition(".")[0] != _OURS:
            record = logging.makeLogRecord(record.__dict__ | {"args": (), "msg": str(record.msg)})
        # Made by ourselves, whatever another handler made of it before.
        record.exc_text = None
        return self._allowed.text(super().format(record))

    def formatException(self, ei: Any) -> str:
        """Return the traceback of what was caught."""
        return told(ei[1], self._allowed.level) if ei[1] else ""


def told(error: BaseException, level: str) -> str:
    """Return an exception with its traceback, without what it says at `none`."""
    if level != "none":
        return "".join(traceback.format_exception(error)).rstrip("\n")
    return "\n".join(_places(error))


def _places(error: BaseException | None) -> Iterator[str]:
    for _ in range(MAX_CAUSES):
        if error is None:
            return
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
        yield f"{type(error).__qualname__} (what it says is left out: --content none)"
        error = error.__cause__ or error.__context__


def obey(allowed: ContentFilter) -> None:
    """Have all logs and tracebacks of this process formatted as the filter allows."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PrivateFormatter("busted: %(message)s", allowed))

    def show(error: BaseException | None) -> None:
        if error is not None and sys.stderr is not None:
            print(allowed.text(told(error, allowed.level)), file=sys.stderr)

    def failed(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        show(error)

    sys.excepthook = failed
    threading.excepthook = lambda arguments: show(arguments.exc_value)
    sys.unraisablehook = lambda arguments: show(arguments.exc_value)

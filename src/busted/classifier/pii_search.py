"""The search for personal data and secrets: where they stand in UTF-8, and by which rule.

Strategy: hyperscan looks once for the certain beginnings of all kinds, and most text has none.
Where one stands, the rule's pattern reads on, then its check judges (`pii_rules`). What is
spelled in base64, URL escapes or escapes of JSON is spelled out and searched too
(`pii_encodings`).

The work is bounded: a text in which something begins at every place is read up to a limit, and
how far that was is told.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence

import hyperscan

from busted.classifier import pii_encodings as encodings
from busted.classifier.canaries import Add, scan
from busted.classifier.pii_rules import CHECKS, CONTEXT_BYTES, CustomRule, Rule

# How many beginnings are looked at in a text: so many, and one for each so many bytes of it. Each
# costs 1 to 4 us; 64 KB of nothing but beginnings must not take more than 3 ms.
SIGNS, BYTES_A_SIGN = 384, 320
# To look a telephone number up takes 30 us; after so many costly checks the pattern decides.
COSTLY_CHECKS = 32
# Each escape that is undone takes 1 us.
ESCAPES, BYTES_AN_ESCAPE = 256, 256
# Base64 in base64, say; more is a riddle.
MAX_DEPTH = 3

# How far before a sign's end its rule may begin to read, and what belongs to it before that.
_MAX_START, _MAX_BACK = 512, 64
# As much as stands between the word "authorization" and the secret, twice.
_AROUND = 192
_LONGEST_ESCAPE = 6

# Where it stands, by which rule, what it is, and how it is spelled.
Span = tuple[int, int, Rule, bytes, encodings.Encoding | None]
_in_order = operator.itemgetter(0, 1)
# Where something begins, 0 but for rules of an operator, where it ends, and the row that says so.
_Sign = tuple[int, int, int]
_Databases = tuple[hyperscan.Database, dict[int, hyperscan.Database]]


class Search:
    """Finds by the rules that it is given. It keeps no text; threads may share one."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        patterns = [rule.pattern for rule in self._rules]
        self._readers = [_Reader(rule, patterns.index(rule.pattern)) for rule in self._rules]
        self._base64, self._url, self._json = (len(self._rules) + row for row in range(3))
        self._databases: _Databases | None = None

    def prepare(self) -> None:
        """Make now what the first search would have to wait for."""
        if self._databases is None:
            self._compiled()

    def spans(self, data: bytes) -> tuple[list[Span], int]:
        """Return what is found, in order and apart, and how many bytes were looked at."""
        signs, end = self._signs(data, SIGNS + len(data) // BYTES_A_SIGN)
        return self._spans(data, signs, end, _Work(len(data)), 0) if signs else ([], end)

    def _compiled(self) -> _Databases:
        """Return the search for most rows and all gates, and by gate that for the rows behind it.

        Making them takes 70 ms, so on first use; or before, with `prepare`.
        """
        some, once = hyperscan.HS_FLAG_SOM_LEFTMOST, hyperscan.HS_FLAG_SINGLEMATCH
        rows = [
            *((r.gate, (row, r.begins, some * r.is_whole)) for row, r in enumerate(self._rules)),
            (encodings.BASE64_GATE, (self._base64, encodings.BASE64_BEGINS, 0)),
            (encodings.URL_GATE, (self._url, encodings.URL_BEGINS, 0)),
            (b"", (self._json, encodings.JSON_BEGINS, once)),
        ]
        gates = dict.fromkeys(gate for gate, _ in rows if gate)
        behind = {
            self._json + number: (gate, _database([row for g, row in rows if g == gate]))
            for number, gate in enumerate(gates, 1)
        }
        most = [row for gate, row in rows if not gate]
        most += [(number, gate, once) for number, (gate, _) in behind.items()]
        self._databases = (
            _database(most),
            {number: database for number, (_, database) in behind.items()},
        )
        return self._databases

    def _signs(self, data: bytes, room: int) -> tuple[list[_Sign], int]:
        """Return where something may begin, in order, and how much was looked at.

        There is `room` for so many. Nearly every text has none, so that is what must be fast.
        """
        signs: list[_Sign] = []
        gates: list[int] = []

        def add(row: int, start: int, end: int, flags: int, context: object) -> bool:
            if row > self._json:
                gates.append(row)
                return False
            signs.append((start, end, row))
            return len(signs) >= room

        most, behind = self._databases or self._compiled()
        looked_at = _looked_at(most, data, add, signs)
        if not gates:
            return signs, looked_at
        for gate in gates:
            # What one search had no room for is not looked at by those that follow.
            room = len(signs) + max(room - len(signs), room // 8)
            looked_at = _looked_at(behind[gate], data[:looked_at], add, signs)
        signs = [sign for sign in signs if sign[1] <= looked_at]
        signs.sort(key=_end_of)
        return signs, looked_at

    def _spans(
        self, data: bytes, signs: list[_Sign], end: int, work: _Work, depth: int
    ) -> tuple[list[Span], int]:
        if not signs:
            return [], end
        work.signs -= len(signs)
        view = self._view(data, signs)
        spans: list[Span] = []
        # Also what keeps this linear: a key may be full of what begins one.
        read_to = [0] * (self._json + 1)
        for begin, stop, row in signs:
            if row < self._base64:
                if found := self._readers[row](view, begin, stop, read_to, work):
                    spans.append(found)
            elif depth < MAX_DEPTH and stop > read_to[row] and work.escapes > 0:
                decoded = self._decoded(row, data, view, stop, work)
                if decoded:
                    read_to[row] = decoded.end
                    inside, read = self._inside(decoded, data, work, depth)
                    spans += inside
                    end = min(end, read)
        if end < len(data):
            spans = [span for span in spans if span[0] < end]
        return joined(spans), end

    def _decoded(
        self, row: int, data: bytes, view: bytes, end: int, work: _Work
    ) -> encodings.Decoded | None:
        if row == self._base64:
            return encodings.base64(view, end)
        if row == self._url:
            decoded = encodings.url(view, end, work.escapes)
        else:
            decoded = encodings.json(data, work.escapes)
        if decoded:
            work.escapes -= decoded.escapes
        return decoded

    def _inside(
        self, decoded: encodings.Decoded, data: bytes, work: _Work, depth: int
    ) -> tuple[list[Span], int]:
        """Return what is found in what a part of the text stands for.

        And up to where that was looked at: the end of the text, if all of the part was.
        """
        if work.signs <= 0:
            return [], decoded.start
        signs, read = self._signs(decoded.plain, work.signs)
        found, read = self._spans(decoded.plain, signs, read, work, depth + 1)
        spans: list[Span] = []
        for first, last, rule, value, encoding in found:
            start, end = decoded.place(first, last)
            # What stands there as it is was found already.
            if data[start:end] != value:
                spans.append((start, end, rule, value, encoding or decoded.encoding))
        if read < len(decoded.plain):
            return spans, decoded.place(read, read)[0]
        return spans, len(data) if decoded.read_to == decoded.end else decoded.read_to

    def _view(self, data: bytes, signs: Sequence[_Sign]) -> bytes:
        """Return the text as it is read around `signs`: in JSON escapes count as blanks.

        An escape such as \\n must not read as the letter n of the word that follows.
        """
        # Beyond that an escape ends what is found as well as a blank does.
        begin = max(0, signs[0][1] - _AROUND)
        end = signs[-1][1] + _AROUND
        if any(row < self._base64 and self._rules[row].is_long for _, _, row in signs):
            end = len(data)
        if b"\\" not in data[begin:end]:
            return data
        begin, end = _outside_escapes(data, begin), _outside_escapes(data, end)
        return data[:begin] + encodings.without_escapes(data[begin:end]) + data[end:]


class _Work:
    """What one search may still do; parts that are spelled out share it with the text around."""

    def __init__(self, size: int) -> None:
        self.signs = SIGNS + size // BYTES_A_SIGN
        self.checks = COSTLY_CHECKS
        self.escapes = ESCAPES + size // BYTES_AN_ESCAPE


class _Reader:
    """Reads on where a rule's beginning was found."""

    def __init__(self, rule: Rule, group: int) -> None:
        """Rules with the same pattern have the same group: none reads what another has read."""
        self._rule, self._group = rule, group
        self._literal = rule.start if isinstance(rule.start, bytes) else None
        self._size = rule.start if isinstance(rule.start, int) else 0
        self._back = rule.back
        self._match = rule.pattern.match
        self._value: int | str = "value" if "value" in rule.pattern.groupindex else 0
        # A rule of an operator has no beginning: hyperscan finds all of it.
        self._is_whole = rule.is_whole
        self._is_plain = not (rule.context or rule.without or rule.is_costly or rule.is_whole)

    def __call__(
        self, view: bytes, begin: int, stop: int, read_to: list[int], work: _Work
    ) -> Span | None:
        """Return what stands there, if it is one."""
        rule = self._rule
        if self._is_whole:
            value = view[begin:stop]
            return (
                (begin, stop, rule, value, None) if self._holds(view, begin, value, work) else None
            )
        if self._literal is None:
            place = stop - self._size
        else:
            place = view.rfind(self._literal, stop - _MAX_START if stop > _MAX_START else 0, stop)
        if self._back:
            before = view[place - _MAX_BACK if place > _MAX_BACK else 0 : place]
            place -= len(before) - len(before.rstrip(self._back))
        if place < read_to[self._group] or not (match := self._match(view, place)):
            return None
        read_to[self._group] = match.end()
        value, first, last = match[self._value], match.start(self._value), match.end(self._value)
        if self._is_plain:
            holds = rule.check is None or rule.check(value)
        else:
            holds = self._holds(view, first, value, work)
        return (first, last, rule, value, None) if holds else None

    def _holds(self, view: bytes, start: int, value: bytes, work: _Work) -> bool:
        rule = self._rule
        if rule.context and not rule.context.search(view, max(0, start - CONTEXT_BYTES), start):
            return False
        if rule.is_costly:
            work.checks -= 1
            if work.checks < 0:
                return True
        if rule.without and rule.without.search(view, max(0, start - CONTEXT_BYTES), start):
            return False
        return rule.check is None or rule.check(value)


def of_operator(given: CustomRule) -> Rule:
    """Return the rule that an operator's row stands for."""
    words = "|".join(map(re.escape, given.context))
    return Rule(
        kind=given.kind,
        category=given.category,
        begins=given.pattern.encode(),
        start=0,
        pattern=re.compile(b""),
        is_whole=True,
        check=CHECKS[given.check] if given.check else None,
        confidence=given.confidence,
        context=re.compile(f"(?i)(?:{words})".encode()) if words else None,
    )


def pattern_error(given: CustomRule) -> str | None:
    """Return what is wrong with the pattern of an operator's rule, in hyperscan's words."""
    try:
        _database([(0, given.pattern.encode(), hyperscan.HS_FLAG_SOM_LEFTMOST)])
    except hyperscan.error as error:
        return str(error)
    return None


def joined(spans: list[Span]) -> list[Span]:
    """Return spans in order; overlapping ones become one, of the rule that is surest."""
    apart: list[Span] = []
    stop = 0
    for span in sorted(spans, key=_in_order):
        if span[0] >= stop or not apart:
            apart.append(span)
            stop = span[1]
            continue
        first = apart[-1]
        surer = span[2].confidence > first[2].confidence or (
            span[2] is first[2] and span[0] == first[0]
        )
        stop = max(stop, span[1])
        apart[-1] = (first[0], stop, *(span if surer else first)[2:])
    return apart


def _looked_at(
    database: hyperscan.Database,
    data: bytes,
    add: Add,
    signs: list[_Sign],
) -> int:
    """Search until `add` says that it is enough; return how far that was."""
    try:
        scan(database, data, add)
    except hyperscan.ScanTerminated:
        return signs[-1][1]
    return len(data)


def _database(rows: Sequence[tuple[int, bytes, int]]) -> hyperscan.Database:
    database = hyperscan.Database()
    database.compile(
        expressions=[begins for _, begins, _ in rows],
        ids=[row for row, _, _ in rows],
        elements=len(rows),
        flags=[flags | hyperscan.HS_FLAG_DOTALL for _, _, flags in rows],
    )
    return database


def _end_of(sign: _Sign) -> int:
    return sign[1]


def _outside_escapes(data: bytes, place: int) -> int:
    """Return the last place of JSON text up to `place` that no escape goes across."""
    begin = data.rfind(b"\\", max(0, place - _LONGEST_ESCAPE), place)
    if begin < 0:
        return place
    before = data[max(0, begin - _MAX_BACK) : begin]
    return begin - len(before) + len(before.rstrip(b"\\"))

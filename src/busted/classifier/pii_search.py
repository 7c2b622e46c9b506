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
from collections.abc import Callable, Iterable, Sequence

import hyperscan

from busted.classifier import pii_encodings as encodings
from busted.classifier.canaries import scan
from busted.classifier.pii_rules import CHECKS, CONTEXT_BYTES, CustomRule, Rule

# How many beginnings are looked at in a text: so many, and one for each so many bytes of it. Each
# costs 1 to 4 us; 64 KB of nothing but beginnings must not take more than 3 ms.
SIGNS, BYTES_A_SIGN = 320, 320
# To look a telephone number up takes 30 us; after so many costly checks the pattern decides.
COSTLY_CHECKS = 32
# Each escape that is undone takes 1 us.
ESCAPES, BYTES_AN_ESCAPE = 256, 256
# Base64 in base64, say; more is a riddle.
MAX_DEPTH = 3

# How far before a sign's end its rule may begin to read, and what belongs to it before that.
_MAX_START, _MAX_BACK = 512, 64
# As much as stands between the word "authorization" and the end of what is searched for there.
_AROUND = 512
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
        self._base64, self._url, self._json = (len(self._rules) + row for row in range(3))
        self._databases: _Databases | None = None

    def spans(self, data: bytes) -> tuple[list[Span], int]:
        """Return what is found, in order and apart, and how many bytes were looked at."""
        return self._spans(data, _Work(len(data)), 0)

    def _compiled(self) -> _Databases:
        """Return the search for most rows and all gates, and by gate that for the rows behind it.

        Making them takes 50 ms, so on first use.
        """
        if self._databases is None:
            some, once = hyperscan.HS_FLAG_SOM_LEFTMOST, hyperscan.HS_FLAG_SINGLEMATCH
            rows = [
                *(
                    (r.gate, (row, r.begins, some * r.is_whole))
                    for row, r in enumerate(self._rules)
                ),
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

    def _signs(self, data: bytes, work: _Work) -> tuple[list[_Sign], int]:
        """Return where something may begin, in order, and how much was looked at."""
        signs: list[_Sign] = []
        gates: list[int] = []
        room = work.signs

        def add(row: int, start: int, end: int, flags: int, context: object) -> bool:
            if row > self._json:
                gates.append(row)
                return False
            signs.append((start, end, row))
            return len(signs) >= room

        most, behind = self._compiled()
        looked_at = _looked_at(most, data, add, signs)
        for gate in gates:
            # What one search had no room for is not looked at by those that follow.
            room = len(signs) + max(work.signs - len(signs), work.signs // 4)
            looked_at = _looked_at(behind[gate], data[:looked_at], add, signs)
        if gates:
            signs = [sign for sign in signs if sign[1] <= looked_at]
            signs.sort(key=_end_of)
        return signs, looked_at

    def _spans(self, data: bytes, work: _Work, depth: int) -> tuple[list[Span], int]:
        signs, end = self._signs(data, work)
        if not signs:
            return [], end
        work.signs -= len(signs)
        view = self._view(data, signs)
        spans: list[Span] = []
        read_to: dict[object, int] = {}
        for sign in signs:
            row = sign[2]
            if row < self._base64:
                rule = self._rules[row]
                if found := _read(rule, view, sign, read_to, work):
                    spans.append((*found, rule, view[found[0] : found[1]], None))
            elif depth < MAX_DEPTH and sign[1] > read_to.get(row, 0) and work.escapes > 0:
                decoded = self._decoded(row, data, view, sign[1], work)
                if decoded:
                    read_to[row] = decoded.end
                    spans += self._inside(decoded, data, work, depth)
                    if decoded.read_to < decoded.end:
                        end = min(end, decoded.read_to)
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
    ) -> list[Span]:
        """Return what is found in what a part of the text stands for."""
        if work.signs <= 0:
            return []
        spans: list[Span] = []
        for first, last, rule, value, encoding in self._spans(decoded.plain, work, depth + 1)[0]:
            start, end = decoded.place(first, last)
            # What stands there as it is was found already.
            if data[start:end] != value:
                spans.append((start, end, rule, value, encoding or decoded.encoding))
        return spans

    def _view(self, data: bytes, signs: Sequence[_Sign]) -> bytes:
        """Return the text as it is read around `signs`: in JSON escapes count as blanks.

        An escape such as \\n must not read as the letter n of the word that follows.
        """
        begin = max(0, min(map(_end_of, signs)) - _MAX_START)
        # Beyond that an escape ends what is found as well as a blank does.
        end = max(map(_end_of, signs)) + _AROUND
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


def _read(
    rule: Rule,
    view: bytes,
    sign: _Sign,
    read_to: dict[object, int],
    work: _Work,
) -> tuple[int, int] | None:
    """Return where a value stands whose beginning was found, if it is one."""
    begin, stop, _ = sign
    if rule.is_whole:
        value = view[begin:stop]
        return (begin, stop) if _holds(rule, view, begin, value, work) else None
    if isinstance(rule.start, int):
        place = stop - rule.start
    else:
        place = view.rfind(rule.start, max(0, stop - _MAX_START), stop)
    if rule.back:
        before = view[max(0, place - _MAX_BACK) : place]
        place -= len(before) - len(before.rstrip(rule.back))
    # Also what keeps this linear: a key may be full of what begins one.
    if place < read_to.get(rule.pattern, 0) or not (match := rule.pattern.match(view, place)):
        return None
    read_to[rule.pattern] = match.end()
    span = match.span("value" if "value" in rule.pattern.groupindex else 0)
    return span if _holds(rule, view, span[0], view[span[0] : span[1]], work) else None


def _holds(rule: Rule, view: bytes, start: int, value: bytes, work: _Work) -> bool:
    if rule.context and not rule.context.search(view, max(0, start - CONTEXT_BYTES), start):
        return False
    if rule.without and rule.without.search(view, max(0, start - CONTEXT_BYTES), start):
        return False
    if rule.check is None:
        return True
    if rule.is_costly:
        work.checks -= 1
        if work.checks < 0:
            return True
    return rule.check(value)


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
    for span in sorted(spans, key=_in_order):
        if not apart or span[0] >= apart[-1][1]:
            apart.append(span)
            continue
        first = apart[-1]
        surer = span[2].confidence > first[2].confidence or (
            span[2] is first[2] and span[0] == first[0]
        )
        apart[-1] = (first[0], max(first[1], span[1]), *(span if surer else first)[2:])
    return apart


def _looked_at(
    database: hyperscan.Database, data: bytes, add: Callable[..., bool], signs: list[_Sign]
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

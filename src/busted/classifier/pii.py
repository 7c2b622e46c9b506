"""Personal data and secrets in text: found, hashed, and replaced by tokens that say only the kind.

What counts and how it is found stands in `pii_rules` and `pii_search`; here it becomes findings,
tokens and actions. A token is the beginning of a keyed hash, so the same value has the same token
and hash everywhere, and who lacks the key can look none up. What was not looked at is told, and
never shown as if it had been.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Iterator

import msgspec

from busted.classifier import pii_checks as checks
from busted.classifier.canaries import Canaries, Canary
from busted.classifier.direction import Direction
from busted.classifier.pii_encodings import Encoding
from busted.classifier.pii_rules import LOCAL, Category, CustomRule, Pack, Rule, built_in
from busted.classifier.pii_search import Search, Span, joined, of_operator
from busted.events import (
    CONTENT_FIELDS,
    Action,
    CanaryDetected,
    ChatMessage,
    FileData,
    Finding,
    PiiDetected,
    Prompt,
    ToolCall,
    Value,
)

# Every text that is scanned comes from a body of which 4 MiB are kept. The rest of a longer
# one is not looked at: that is told, and `redact` replaces it as a whole.
MAX_SCAN_CHARS = 4 << 20
# Beyond these a text is a list of addresses; the count is told, not every place.
MAX_FINDINGS = 100
# Names of models, programs and hosts, and the longest of their paths; 400 KB of them at most.
MAX_CLEAN_CHARS, MAX_CLEAN_TEXTS = 100, 4096

# 64 bits: enough to tell some thousand secrets apart.
HASH_BYTES = 8
_TOKEN_DIGITS = 4
DEFAULT_REGION = "US"

# How much of the end of a text may be an unfinished secret.
_CUT_BYTES = 512


def _mark(kind: str, category: Category, confidence: float = 0.0) -> Rule:
    never = re.compile(rb"(?!)")
    return Rule(
        kind=kind, category=category, begins=b"", start=0, pattern=never, confidence=confidence
    )


_CANARY = _mark("canary", "canary", 1.0)
# What may be a secret that is cut has no kind yet, and gives way to what is one.
_CUT = tuple(
    (_mark(kind, "secret"), re.compile(pattern))
    for kind, pattern in (
        (
            "secret",
            rb"(?<![A-Za-z0-9])(?P<value>(?:sk-|A[KS]IA|gh[pousr]_|github_pat_|AIza|xox[abeoprs]-|xapp-"
            rb"|hf_|gl[a-z]{2,5}-|GOCSPX-|ya29\.|[rs]k_(?:live|test)_|whsec_|npm_|pypi-|SG\.|gsk_|xai-"
            rb"|pplx-|r8_|eyJ)[\w.-]{0,400})\Z",
        ),
        ("secret", rb"(?i)(?:bearer|basic)[ \t]{1,4}(?P<value>[\w.~+/-]{4,400})\Z"),
        (
            "secret",
            rb"(?i)(?:secret|token|api[_-]?key|access[_-]?key|passw(?:or)?d|pwd)"
            rb"""["'\\\]]{0,4}[ \t]{0,4}[:=][ \t"'\\]{0,4}(?P<value>[!-~]{1,256})\Z""",
        ),
        ("secret", rb"://[^\s/@:]{0,64}:(?P<value>[^\s/@:]{1,256})\Z"),
        ("iban", rb"(?<![A-Za-z0-9])(?P<value>[A-Z]{2}\d{2}[ -]?(?:[A-Z0-9][ -]?){4,30})\Z"),
        ("number", rb"(?<![\w.])(?P<value>[+(]?\d(?:[ ()./-]{0,2}\d){5,19}[ -]?)\Z"),
    )
)
_CUT_ADDRESS = _mark("email", "personal")
_DOMAIN_CUT = re.compile(rb"[A-Za-z0-9.-]{0,253}\Z")


class Scan(msgspec.Struct, frozen=True):
    """What a text holds, in order, none overlapping, and how many bytes were not looked at.

    Of more than `MAX_FINDINGS` only the first are there, but all are counted by kind.
    """

    findings: tuple[Finding, ...] = ()
    counts: dict[str, int] = {}
    categories: frozenset[str] = frozenset()
    unscanned: int = 0


class Scanner:
    """Finds by the rules that it is given. It keeps no text; threads may share one."""

    def __init__(
        self,
        *,
        region: str = DEFAULT_REGION,
        packs: Iterable[Pack] = (),
        custom: Iterable[CustomRule] = (),
        canaries: Iterable[Canary] = (),
        key: bytes = b"",
    ) -> None:
        """`key` makes the hashes of findings, at most 64 bytes; without it they are not told."""
        self.key = key
        self._search = Search((*built_in(region, frozenset(packs)), *map(of_operator, custom)))
        self._canaries = Canaries(canaries)
        # Short texts that `redact` lets through as they are: names come again and again.
        self._clean: set[str] = set()

    def with_key(self, key: bytes) -> Scanner:
        """Return a scanner that differs in its key only, and shares all that was made."""
        other = copy.copy(self)
        other.key = key
        return other

    def take_rules(self, other: Scanner) -> None:
        """Find from now on what another scanner finds, everywhere that this one is used."""
        self._search, self._canaries = other._search, other._canaries
        self._clean = set()

    def prepare(self) -> None:
        """Be ready for the first text, which would have to wait 70 ms otherwise."""
        self._search.prepare()

    def find(self, text: str) -> Scan:
        """Return what is found in the first `MAX_SCAN_CHARS` of a text, placed by characters."""
        scanned = text[:MAX_SCAN_CHARS]
        data = _utf8(scanned)
        spans, end = self._search.spans(data)
        unscanned = len(data) - end
        if not spans and not unscanned and len(scanned) == len(text):
            return _NOTHING
        if len(scanned) < len(text):
            unscanned += len(_utf8(text[MAX_SCAN_CHARS:]))
        return self._scan(_in_characters(data, spans), unscanned)

    def find_in_body(self, body: bytes) -> Scan:
        """Return what is found in the first `MAX_SCAN_CHARS` of a body, placed by its bytes."""
        data = body[:MAX_SCAN_CHARS]
        spans, end = self._search.spans(data)
        return self._scan(spans, len(body) - end)

    def redact(self, text: str, key: bytes, cut: bool = True) -> str:
        """Return the text with each finding replaced by a token such as `<email:3f9a>`.

        `key` is secret and has at most 64 bytes, BLAKE2b's limit (RFC 7693 section 2.1).

        What may be the beginning of a secret at the very end of a text that was `cut` is
        replaced too, and so is all that was not scanned. A text that ends by itself should not be
        called cut: it may end in a date, which looks like the beginning of a card number.
        """
        # Before the search, whose rules may be replaced meanwhile.
        clean = self._clean
        if not cut and text in clean:
            return text
        data = _utf8(text[:MAX_SCAN_CHARS])
        spans, end = self._search.spans(data)
        spans += self._planted(data)
        if cut or end < len(data) or len(text) > MAX_SCAN_CHARS:
            spans += _cut_spans(data[:end])
        if not spans and end == len(data) and len(text) <= MAX_SCAN_CHARS:
            if len(text) <= MAX_CLEAN_CHARS and not cut:
                if len(clean) >= MAX_CLEAN_TEXTS:
                    clean.clear()
                clean.add(text)
            return text
        pieces: list[bytes] = []
        place = 0
        for start, stop, rule, value, _ in joined(spans):
            pieces += (data[place:start], _token(rule, value, key))
            place = stop
        pieces.append(data[place:end])
        left = len(text) - len(data[: max(place, end)].decode("utf-8", "surrogatepass"))
        if left:
            pieces.append(b"<not scanned: %d characters>" % left)
        return b"".join(pieces).decode("utf-8", "surrogatepass")

    def examine(self, action: Action, direction: Direction) -> tuple[Action, ...]:
        """Return the action with its findings filled in, and after it what that reveals.

        That is `PiiDetected` if there are findings, and `CanaryDetected` for each canary that is
        about to leave: in what is written, or in the call of a tool. The places count in the
        text of the field that `where` names, e.g. `messages.2`.
        """
        texts = _texts(action)
        if not texts:
            return (action,)
        # Searched together: nothing goes across a line's end.
        scan = self.find("\n".join([text for _, text in texts]))
        told = self._sightings(action, texts, direction)
        if scan is _NOTHING:
            return (action, *told)
        action = msgspec.structs.replace(
            action, pii=_placed(texts, scan.findings), unscanned_bytes=scan.unscanned
        )
        if not scan.findings:
            return (action, *told)
        counts = dict(sorted(scan.counts.items()))
        detected = PiiDetected(
            direction="write" if direction is Direction.WRITE else "read",
            kinds=tuple(counts),
            counts=counts,
            written=counts if direction is Direction.WRITE else {},
            categories=tuple(sorted(scan.categories)),
            where=type(action).__name__,
            actions=(type(action).__name__,),
            count=sum(scan.counts.values()),
        )
        return (action, detected, *told)

    def _sightings(
        self, action: Value, texts: list[tuple[str, str]], direction: Direction
    ) -> Iterator[CanaryDetected]:
        leaves = direction is Direction.WRITE and not isinstance(action, FileData)
        if not leaves and not isinstance(action, ToolCall):
            return
        seen = {
            (one.name, where, one.spelling)
            for where, text in texts
            for one in self._canaries.find(_utf8(text))
        }
        for name, where, spelling in sorted(seen):
            yield CanaryDetected(
                direction="write" if direction is Direction.WRITE else "read",
                name=name,
                spelling=spelling,
                where=type(action).__name__,
                field=where,
            )

    def _planted(self, data: bytes) -> list[Span]:
        return [
            (one.start, one.end, _CANARY, data[one.start : one.end], None)
            for one in self._canaries.find(data)
        ]

    def _scan(self, spans: list[Span], unscanned: int) -> Scan:
        if not spans:
            return Scan(unscanned=unscanned) if unscanned else _NOTHING
        counts: dict[str, int] = {}
        for _, _, rule, _, _ in spans:
            counts[rule.kind] = counts.get(rule.kind, 0) + 1
        return Scan(
            tuple([self._finding(*span) for span in spans[:MAX_FINDINGS]]),
            counts,
            frozenset([span[2].category for span in spans]),
            unscanned,
        )

    def _finding(
        self, start: int, end: int, rule: Rule, value: bytes, encoding: Encoding | None
    ) -> Finding:
        return Finding(
            kind=rule.kind,
            category=rule.category,
            confidence=rule.confidence,
            start=start,
            end=end,
            sample=_sample(rule, value),
            hash=_digest(rule, value, self.key) if self.key else None,
            encoding=encoding,
        )


_NOTHING = Scan()


def _placed(texts: list[tuple[str, str]], found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return what was found in the lines of named texts, placed in the text of each name."""
    findings = iter(found)
    finding = next(findings, None)
    placed: list[Finding] = []
    begin = 0
    for where, text in texts:
        stop = begin + len(text)
        while finding and finding.start < stop:
            placed.append(
                msgspec.structs.replace(
                    finding, start=finding.start - begin, end=finding.end - begin, where=where
                )
            )
            finding = next(findings, None)
        begin = stop + 1
    return tuple(placed)


def _texts(action: Value) -> list[tuple[str, str]]:
    """Return the name and text of each field with content, none of them twice."""
    texts: list[tuple[str, str]] = []
    told = (action.system_prompt, action.user_message) if isinstance(action, Prompt) else ()
    for field in CONTENT_FIELDS.get(type(action), ()):
        value = getattr(action, field)
        if isinstance(value, str):
            texts.append((field, value))
        elif isinstance(value, tuple):
            for place, message in enumerate(value):
                if isinstance(message, ChatMessage) and message.content not in told:
                    texts.append((f"{field}.{place}", message.content))
    return texts


def _utf8(text: str) -> bytes:
    # Half a surrogate pair may come from an escape in JSON.
    return text.encode("utf-8", "surrogatepass")


def _in_characters(data: bytes, spans: list[Span]) -> list[Span]:
    """Return spans of UTF-8 as spans of its characters."""
    if not spans or data.isascii():
        return spans
    placed: list[Span] = []
    begin = characters = 0
    for span in spans:
        start, end = span[:2]
        first = characters + len(data[begin:start].decode("utf-8", "surrogatepass"))
        characters = first + len(data[start:end].decode("utf-8", "surrogatepass"))
        placed.append((first, characters, *span[2:]))
        begin = end
    return placed


def _cut_spans(data: bytes) -> Iterator[Span]:
    """Yield what may be the beginning of a secret at the end of the text."""
    begin = max(0, len(data) - _CUT_BYTES)
    end = data[begin:]
    for rule, pattern in _CUT:
        if match := pattern.search(end):
            start, stop = match.span("value")
            yield begin + start, begin + stop, rule, match["value"], None
    at = end.rfind(b"@")
    if at > 0 and _DOMAIN_CUT.match(end, at + 1):
        start, stop = len(end[:at].rstrip(LOCAL)), len(end.rstrip(b".-"))
        if start < at:
            yield begin + start, begin + stop, _CUT_ADDRESS, end[start:stop], None


def _token(rule: Rule, value: bytes, key: bytes) -> bytes:
    return f"<{rule.kind}:{_digest(rule, value, key)[:_TOKEN_DIGITS]}>".encode()


def _digest(rule: Rule, value: bytes, key: bytes) -> str:
    """Return the keyed hash of a value, the same however its groups are set apart."""
    if rule.category in ("personal", "national_id"):
        value = value.translate(None, checks.SEPARATORS) if b"@" not in value else value.lower()
    digest = hashlib.blake2b(value, digest_size=HASH_BYTES, key=key, person=b"finding")
    return digest.hexdigest()


def _sample(rule: Rule, value: bytes) -> str:
    """Return the ends of a value that may be shown, with what is between them masked."""
    first, last = rule.shown
    if first + last > len(value) // 3:
        return "***"
    return f"{value[:first].decode()}***{value[len(value) - last :].decode()}"

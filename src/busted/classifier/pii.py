"""Personal data and secrets in text: found, and replaced by tokens that say only the kind.

Strategy: hyperscan looks once for the certain beginnings of all kinds, and most text has none.
Where one stands, a pattern reads on whose every repeat is bounded or cannot overlap what
follows it, so that no text takes more than linear time, and then a check (Luhn for cards). All
of it works on UTF-8, in which a byte below 128 is nothing but that character. A token is a
keyed hash, so the same value has the same token everywhere and none can be guessed.

Left out, for later: phones, addresses, national numbers, and high-entropy strings of no
known maker.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator

import hyperscan
import msgspec

from busted.classifier.direction import Direction
from busted.events import (
    CONTENT_FIELDS,
    Action,
    ChatMessage,
    Finding,
    PiiDetected,
    Prompt,
    Value,
)

# Every text that is scanned comes from a body of which 4 MiB are kept. The rest of a longer
# one is not looked at: `find` is silent on it, and `redact` replaces it as a whole.
MAX_SCAN_CHARS = 4 << 20
# Beyond these a text is a list of addresses; the count is told, not every place.
MAX_FINDINGS = 100

_Span = tuple[int, int, str]

# RFC 5321 section 4.5.3.1: a local part has at most 64 octets. Labels: RFC 1035 section 2.3.4.
_LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_DOMAIN = re.compile(rb"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")
# Images for dense screens are called `icon@2x.png`.
_FILE_ENDINGS = (b".png", b".jpg", b".jpeg", b".gif", b".webp", b".svg")
_DOMAIN_CUT = re.compile(rb"[A-Za-z0-9.-]{0,253}\Z")

# Card numbers are written in one piece, or in the groups that are printed on the card. The
# first digit is any issuer's.
_CARD = (
    rb"(?<![\w.])[2-6]\d{3}(?:\d{9,15}"
    rb"|([ -])(?:\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{6}\1\d{4,5}))(?![\w]|\.\d)"
)
_CARD_CUT = re.compile(rb"(?<![\w.])[2-6](?:[ -]?\d){7,18}[ -]?\Z")

# Issuer: beginnings (from, to; as many digits as written) and lengths of its numbers.
# https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)
_ISSUERS = (
    (("4", "4"), (13, 16, 19)),  # Visa
    (("51", "55"), (16,)),  # Mastercard
    (("2221", "2720"), (16,)),
    (("34", "34"), (15,)),  # American Express
    (("37", "37"), (15,)),
    (("6011", "6011"), (16, 19)),  # Discover
    (("644", "659"), (16, 19)),
    (("3528", "3589"), (16, 19)),  # JCB
    (("300", "305"), (14,)),  # Diners Club
    (("36", "36"), (14,)),
    (("38", "39"), (14,)),
    (("62", "62"), (16, 17, 18, 19)),  # UnionPay
)

# No character may stand before a key that could be part of the same word. Group `value`,
# where there is one, is the secret.
_ALONE = rb"(?<![A-Za-z0-9])"
# OpenAI, Anthropic, OpenRouter, DeepSeek
_SK = _ALONE + rb"sk-(?:(?:proj|svcacct|admin|ant|or|lf)-[\w-]{16,}|[A-Za-z0-9]{20,})"
# RFC 6750 section 2.1 gives the characters of a bearer token. Prose says "bearer" too, but what
# follows it there is a word: a token is long, or has a digit.
_BEARER = (
    _ALONE + rb"(?i:bearer)[ \t]{1,4}"
    rb"(?P<value>(?:(?=[A-Za-z._~+/-]{0,64}\d)[\w.~+/-]{16}|[\w.~+/-]{32})[\w.~+/-]*={0,2})"
)
_AUTHORIZATION = (
    _ALONE + rb"""(?i:authorization)["']{0,2}[ \t]{0,4}[:=][ \t]{0,4}["']?"""
    rb"""(?:(?i:bearer|basic|token|apikey)[ \t]{1,4})?(?P<value>[\w.~+/:-]{8,}={0,2})"""
)

# What is searched for: how it may begin, the number of bytes from its first one to the last that
# this matches, its kind, and the pattern of the whole. What stands before a key is looked at only
# then, since a search for bare words is the fastest, but before a card's number already here:
# in long numbers one could begin everywhere.
_SIGNS = (
    (rb"(?:^|[^0-9])[2-6]\d{12}", 13, "credit_card", _CARD),
    (rb"(?:^|[^0-9])[2-6]\d{3}[ -]\d{4}", 9, "credit_card", _CARD),
    # In JSON a digit before it may be the end of an escape.
    (rb"\\(?:u[0-9a-fA-F]{4}|[0-9])[2-6]\d{12}", 13, "credit_card", _CARD),
    (rb"\\(?:u[0-9a-fA-F]{4}|[0-9])[2-6]\d{3}[ -]\d{4}", 9, "credit_card", _CARD),
    (rb"sk-[\w-]{16}", 19, "api_key", _SK),
    (rb"A[KS]IA", 4, "api_key", _ALONE + rb"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    (rb"gh[pousr]_", 4, "api_key", _ALONE + rb"gh[pousr]_[A-Za-z0-9]{36,}"),
    (rb"github_pat_", 11, "api_key", _ALONE + rb"github_pat_\w{22,}"),
    (rb"AIza", 4, "api_key", _ALONE + rb"AIza[\w-]{35}"),
    (rb"xox[abeoprs]-", 5, "api_key", _ALONE + rb"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    (rb"hf_", 3, "api_key", _ALONE + rb"hf_[A-Za-z0-9]{30,}"),
    (rb"(?i)bearer", 6, "api_key", _BEARER),
    (rb"(?i)authorization", 13, "api_key", _AUTHORIZATION),
)
_PATTERNS = tuple((size, kind, re.compile(pattern)) for _, size, kind, pattern in _SIGNS)

_KEY_CUT = re.compile(
    rb"(?<![A-Za-z0-9])(?:(?:sk-|A[KS]IA|gh[pousr]_|github_pat_|AIza|xox[abeoprs]-|hf_)[\w-]{0,200}"
    rb"|(?i:bearer|basic)[ \t]{1,4}(?P<value>[\w.~+/-]{4,200}))\Z"
)
# How much of the end of a text may be an unfinished secret.
_CUT_BYTES = 512

# The escapes of JSON: those of two characters, which are undone at C speed, and the others.
_LONGEST_ESCAPE = 6
# As much as stands before an `@`, or between the word "authorization" and the secret.
_AROUND = 128
_SHORT_ESCAPE = re.compile(rb"\\[^u]")
_LONG_ESCAPE = re.compile(rb"\\u[0-9a-fA-F]{4}")


def find(text: str) -> tuple[Finding, ...]:
    """Return what was found in the first `MAX_SCAN_CHARS` of a text, in order, none overlapping."""
    return _findings(_found(text[:MAX_SCAN_CHARS]))


def find_in_body(body: bytes) -> tuple[Finding, ...]:
    """Return what was found in the first `MAX_SCAN_CHARS` bytes of a body, placed by its bytes.

    In JSON an escape such as \\n must not read as the letter n of the word that follows, so
    escapes count as blanks.
    """
    body = body[:MAX_SCAN_CHARS]
    signs = _signs(body)
    marks = [start for start, _ in signs]
    if b"@" in body:
        marks += (body.find(b"@"), body.rfind(b"@"))
    if not marks:
        return ()
    # Beyond that an escape ends what is found as well as a blank does.
    begin = _outside_escapes(body, min(marks) - _AROUND)
    end = _outside_escapes(body, max(marks) + _AROUND)
    blanked = body[:begin] + _without_escapes(body[begin:end]) + body[end:]
    return _findings(_spans(blanked, signs))


def redact(text: str, key: bytes, cut: bool = True) -> str:
    """Return the text with each finding replaced by a token such as `<email:3f9a>`.

    `key` is secret and has at most 64 bytes, BLAKE2b's limit (RFC 7693 section 2.1).

    What may be the beginning of a secret at the very end of a text that was `cut` is replaced
    too, and so is all that was not scanned. A text that ends by itself should not be called
    cut: it may end in a date, which looks like the beginning of a card number.
    """
    scanned = text[:MAX_SCAN_CHARS]
    data = _utf8(scanned)
    pieces: list[str] = []
    place = 0
    cut_spans = _cut_spans(data) if cut or len(text) > MAX_SCAN_CHARS else ()
    spans = _joined([*_spans(data, _signs(data)), *cut_spans])
    for start, end, kind in _in_characters(data, spans):
        pieces += (text[place:start], _token(kind, text[start:end], key))
        place = end
    pieces.append(scanned[place:])
    if len(text) > MAX_SCAN_CHARS:
        pieces.append(f"<not scanned: {len(text) - MAX_SCAN_CHARS} characters>")
    return "".join(pieces)


def examine(action: Action, direction: Direction) -> tuple[Action, ...]:
    """Return the action with its findings filled in, and `PiiDetected` after it if there are any.

    The places count in the text of the field that `where` names, e.g. `messages.2`.
    """
    texts = _texts(action)
    findings = _placed(texts) if texts else None
    if not findings:
        return (action,)
    told = PiiDetected(
        direction="write" if direction is Direction.WRITE else "read",
        kinds=tuple(sorted({finding.kind for finding in findings})),
        where=type(action).__name__,
        count=len(findings),
    )
    return (msgspec.structs.replace(action, pii=tuple(findings[:MAX_FINDINGS])), told)


def _placed(texts: list[tuple[str, str]]) -> list[Finding]:
    """Return what is found in named texts, searched together: nothing goes across a line's end."""
    findings: list[Finding] = []
    spans = iter(_found("\n".join([text for _, text in texts])))
    span = next(spans, None)
    if span is None:
        return findings
    begin = 0
    for where, text in texts:
        stop = begin + len(text)
        while span and span[0] < stop:
            start, end, kind = span
            findings.append(Finding(kind=kind, start=start - begin, end=end - begin, where=where))
            span = next(spans, None)
        begin = stop + 1
    return findings


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


def _found(text: str) -> list[_Span]:
    data = _utf8(text)
    signs = _signs(data)
    return _in_characters(data, _spans(data, signs)) if signs or b"@" in data else []


def _utf8(text: str) -> bytes:
    # Half a surrogate pair may come from an escape in JSON.
    return text.encode("utf-8", "surrogatepass")


@functools.cache
def _database() -> hyperscan.Database:
    """Return the beginnings as one search. Making it takes 100 ms and 5 MB, so on first use."""
    database = hyperscan.Database()
    database.compile(
        expressions=[beginning for beginning, _, _, _ in _SIGNS],
        ids=list(range(len(_SIGNS))),
        elements=len(_SIGNS),
        flags=hyperscan.HS_FLAG_DOTALL,
    )
    return database


def _signs(data: bytes) -> list[tuple[int, int]]:
    """Return where something may begin, and which row of `_SIGNS` says so."""
    signs: list[tuple[int, int]] = []

    def add(row: int, _: int, end: int, flags: int, context: object) -> None:
        signs.append((end - _PATTERNS[row][0], row))

    database = _database()
    try:
        database.scan(data, match_event_handler=add)
    except hyperscan.ScratchInUseError:  # another thread is searching: this one needs its own
        database.scan(data, match_event_handler=add, scratch=hyperscan.Scratch(database))
    return signs


def _spans(data: bytes, signs: Iterable[tuple[int, int]]) -> list[_Span]:
    """Return what is found at `signs`, and the e-mail addresses, in order."""
    spans = list(_emails(data))
    read_to: dict[re.Pattern[bytes], int] = {}
    for start, row in signs:
        _, kind, pattern = _PATTERNS[row]
        # Also what keeps this linear: a key may be full of what begins one.
        if start < read_to.get(pattern, 0) or not (match := pattern.match(data, start)):
            continue
        read_to[pattern] = match.end()
        if kind != "credit_card" or _is_card(match[0]):
            spans.append((*match.span("value" if pattern.groupindex else 0), kind))
    return _joined(spans)


def _in_characters(data: bytes, spans: list[_Span]) -> list[_Span]:
    """Return spans of UTF-8 as spans of its characters."""
    if not spans or data.isascii():
        return spans
    placed: list[_Span] = []
    begin = characters = 0
    for start, end, kind in spans:
        characters += len(data[begin:start].decode("utf-8", "surrogatepass"))
        # What is found is ASCII.
        placed.append((characters, characters + end - start, kind))
        characters += end - start
        begin = end
    return placed


def _findings(spans: list[_Span]) -> tuple[Finding, ...]:
    return tuple([Finding(kind=kind, start=start, end=end) for start, end, kind in spans])


def _without_escapes(data: bytes) -> bytes:
    """Return JSON text with each escape replaced by as many blanks."""
    data = _SHORT_ESCAPE.sub(b"  ", data)
    return _LONG_ESCAPE.sub(b" " * 6, data).replace(b"\\u", b"  ") if b"\\" in data else data


def _outside_escapes(data: bytes, place: int) -> int:
    """Return the last place of JSON text up to `place` that no escape goes across."""
    while place > 0 and b"\\" in data[max(0, place - _LONGEST_ESCAPE) : place]:
        place -= 1
    return max(0, place)


def _emails(data: bytes) -> Iterator[_Span]:
    at = data.find(b"@")
    while at >= 0:
        before = data[max(0, at - 64) : at]
        start = at - len(before) + len(before.rstrip(_LOCAL))
        domain = _DOMAIN.match(data, at + 1)
        while start < at and data[start] in b".%+-":
            start += 1  # punctuation before an address
        named_file = domain is not None and domain[0].endswith(_FILE_ENDINGS)
        if domain and not named_file and start < at and data[at - 1] != ord("."):
            yield start, domain.end(), "email"
        at = data.find(b"@", at + 1)


def _is_card(number: bytes) -> bool:
    digits = number.translate(None, b" -").decode("ascii")
    return _luhn(digits) and any(
        low <= digits[: len(low)] <= high and len(digits) in lengths
        for (low, high), lengths in _ISSUERS
    )


def _luhn(digits: str) -> bool:
    """Check the last digit (ISO/IEC 7812-1 annex B)."""
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


# A digit and the sum of the digits of its double.
_DOUBLED = str.maketrans("0123456789", "0246813579")


def _cut_spans(data: bytes) -> Iterator[_Span]:
    """Yield what may be the beginning of a secret at the end of the text."""
    begin = max(0, len(data) - _CUT_BYTES)
    end = data[begin:]
    if key := _KEY_CUT.search(end):
        start, stop = key.span("value" if key["value"] else 0)
        yield begin + start, begin + stop, "api_key"
    if card := _CARD_CUT.search(end):
        yield begin + card.start(), len(data), "credit_card"
    at = end.rfind(b"@")
    if at > 0 and _DOMAIN_CUT.match(end, at + 1):
        start, stop = len(end[:at].rstrip(_LOCAL)), len(end.rstrip(b".-"))
        if start < at:
            yield begin + start, begin + stop, "email"


def _joined(spans: list[_Span]) -> list[_Span]:
    """Return the spans in order; overlapping ones become one, of the kind that begins it."""
    joined: list[_Span] = []
    for start, end, kind in sorted(spans):
        if joined and start < joined[-1][1]:
            first = joined[-1]
            joined[-1] = (first[0], max(end, first[1]), first[2])
        else:
            joined.append((start, end, kind))
    return joined


def _token(kind: str, value: str, key: bytes) -> str:
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=key, digest_size=2)
    return f"<{kind}:{digest.hexdigest()}>"

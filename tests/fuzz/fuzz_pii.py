"""Invariant: findings are in order and apart; exactly they are replaced when a text is redacted."""

import re

from busted.classifier.pii import Scanner

SEEDS = [
    b"bob@example.com and 4111 1111 1111 1111, sk-" + b"a1" * 20,
    b"AKIA" + b"A1" * 8 + "é@ü.example".encode() + b" Bearer " + b"a1" * 20,
    b'{"email": "bob@example.com", "\\u0062": "bob\\u0040example.com"}',
    b"\xff\xed\xa0\x80 123-45-6789 DE89370400440532013000 +49 30 123456",
]


SCANNER = Scanner()


def one_input(data: bytes) -> None:
    assert all(0 <= f.start < f.end <= len(data) for f in SCANNER.find_in_body(data).findings)
    text = data.decode("utf-8", "surrogateescape")
    pattern, place = "", 0
    for finding in SCANNER.find(text).findings:
        assert place <= finding.start < finding.end <= len(text)
        pattern += re.escape(text[place : finding.start]) + f"<{finding.kind}:[0-9a-f]{{4}}>"
        place = finding.end
    assert re.fullmatch(pattern + re.escape(text[place:]), SCANNER.redact(text, b"key", cut=False))
    # What is cut may end in the beginning of one more.
    SCANNER.redact(text, b"key", cut=True)

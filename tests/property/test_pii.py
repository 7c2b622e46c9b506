import sys
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from busted.classifier import pii_search
from busted.classifier.pii import Scanner
from busted.events import Finding

KEY = b"key"
SCANNER = Scanner()
redact = SCANNER.redact


def find(text: str) -> tuple[Finding, ...]:
    return SCANNER.find(text).findings


def find_in_body(body: bytes) -> tuple[Finding, ...]:
    return SCANNER.find_in_body(body).findings


SECRETS = ["bob@example.com", "4111 1111 1111 1111", "sk-" + "a1b2C" * 8, "AKIA" + "A1B2C3D4" * 2]
pieces = st.sampled_from([*SECRETS, " ", ".", "-", "@", "sk-", "Bearer ", "4111", "a"]) | st.text(
    max_size=5
)
texts = st.lists(pieces, max_size=12).map("".join)


@given(texts)
def test_findings_are_ordered_apart_and_within_the_text(text: str) -> None:
    places = [place for finding in find(text) for place in (finding.start, finding.end)]

    assert places == sorted(places)
    assert all(0 <= place <= len(text) for place in places)


@given(texts)
def test_a_redacted_text_has_no_findings(text: str) -> None:
    assert find(redact(text, KEY)) == ()


@given(st.lists(st.text(alphabet=" \n,;é", min_size=1, max_size=4), min_size=2, max_size=5))
def test_a_secret_between_anything_is_found(between: list[str]) -> None:
    for secret in SECRETS:
        found = find(secret.join(between))
        assert len(found) == len(between) - 1


escapes = [
    b"\\n",
    b"\\\\",
    b'\\"',
    b"\\",
    b"\\u",
    b"\\u00e9",
    b"\\u00",
    b"n",
    b"u0041",
    b"x" * 70,
    b": ",
]
bodies = st.lists(
    st.sampled_from([*escapes, b"authorization", b"Bearer "])
    | st.sampled_from(SECRETS).map(str.encode)
    | pieces.map(lambda piece: piece.encode("utf-8", "replace")),
    max_size=30,
).map(b"".join)


@given(bodies)
def test_escapes_far_from_what_is_found_do_not_matter(body: bytes) -> None:
    """Blanking the escapes of the whole body finds no more and no less."""
    found = find_in_body(body)
    with patch.object(pii_search, "_AROUND", sys.maxsize // 2):
        assert find_in_body(body) == found

import base64
import json
import urllib.parse

import pytest

from busted.classifier.pii import Scanner
from busted.events import Finding

SECRET = "sk-" + "a1b2C" * 8
EMAIL = "bob" + "@" + "example.com"
SCANNER = Scanner(key=b"k" * 16)
KEY = b"k" * 16


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def found(text: str) -> Finding:
    (finding,) = SCANNER.find(text).findings
    return finding


@pytest.mark.parametrize("value", [SECRET, EMAIL])
@pytest.mark.parametrize("before", ["x", "xy", "xyz", "a longer text before it "])
def test_what_stands_in_base64_is_found_where_it_stands(value: str, before: str) -> None:
    text = f"data:;base64,{encoded(f'{before} {value} and after it')} ."
    finding = found(text)

    piece = text[finding.start : finding.end]
    assert value in base64.b64decode(piece + "=" * (-len(piece) % 4)).decode("latin-1")
    assert len(piece) <= len(value) * 4 / 3 + 8
    assert finding.encoding == "base64"


def test_base64_of_the_other_alphabet_and_in_base64_is_found() -> None:
    inner = base64.urlsafe_b64encode(f'{{"key": "{SECRET}", "x": "???>>>"}}'.encode()).decode()

    assert found(inner).kind == "openai_key"
    assert found(encoded(f"it is here: {inner}")).kind == "openai_key"


@pytest.mark.parametrize(
    "text",
    [
        f"/login?mail={urllib.parse.quote(EMAIL, safe='')}&x=1",
        f"/login?mail={EMAIL.replace('@', '%40')}",
        "q=" + urllib.parse.quote(json.dumps({"mail": EMAIL}), safe=""),
        "q=" + urllib.parse.quote(urllib.parse.quote(f"a {EMAIL}", safe=""), safe=""),
    ],
)
def test_what_stands_in_url_escapes_is_found(text: str) -> None:
    finding = found(text)

    assert finding.kind == "email"
    assert finding.encoding == "url"
    assert "example" in text[finding.start : finding.end]
    assert "example" not in SCANNER.redact(text, KEY, cut=False)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "' + EMAIL.replace("@", "\\u0040") + '"}',
        '{"a": "' + "".join(f"\\u{ord(c):04x}" for c in EMAIL) + '"}',
        json.dumps(json.dumps({"a": EMAIL.replace("@", "\u0040")})).replace("@", "\\\\u0040"),
    ],
)
def test_what_stands_in_escapes_of_json_is_found(text: str) -> None:
    finding = found(text)

    assert finding.kind == "email"
    assert finding.encoding == "json"
    assert "example" not in SCANNER.redact(text, KEY, cut=False)


def test_the_same_value_has_the_same_hash_however_it_is_spelled() -> None:
    spellings = [EMAIL, encoded(f"I am {EMAIL}, truly"), EMAIL.replace("@", "%40")]

    assert len({found(text).hash for text in spellings}) == 1
    assert found(EMAIL).hash != Scanner(key=b"other").find(EMAIL).findings[0].hash


@pytest.mark.parametrize(
    "cards", [["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"]]
)
def test_the_same_number_has_the_same_hash_however_it_is_grouped(cards: list[str]) -> None:
    assert len({found(card).hash for card in cards}) == 1


@pytest.mark.parametrize("value", [SECRET, EMAIL, "4111 1111 1111 1111", "536-22-8726"])
def test_a_sample_shows_little(value: str) -> None:
    sample = found(value).sample

    assert "***" in sample
    assert len(sample.replace("***", "")) <= 4
    assert value not in sample


def test_without_a_key_no_hash_is_told() -> None:
    assert Scanner().find(EMAIL).findings[0].hash is None


@pytest.mark.parametrize(
    "text",
    [
        "usr/lib/python3/dist/packages/module",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "%E4%BD%A0%E5%A5%BD%20world",
        "100% of 40%",
        "\\u4f60\\u597d \\ud83d",
    ],
)
def test_other_text_is_not_taken_for_an_encoding(text: str) -> None:
    assert SCANNER.find(text).findings == ()
    assert SCANNER.redact(text, KEY, cut=False) == text

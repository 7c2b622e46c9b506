from __future__ import annotations

import pytest

from busted.protocols.host_name import read_host_name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"api.openai.com", "api.openai.com"),
        (b"API.OpenAI.com.", "api.openai.com"),
        (b"localhost", "localhost"),
        (b"_443._https.a-b.example", "_443._https.a-b.example"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"),
        (b".".join([b"a" * 63] * 3) + b".b", ".".join(["a" * 63] * 3) + ".b"),
    ],
)
def test_a_host_name_is_told_in_lower_case_without_its_last_dot(raw: bytes, name: str) -> None:
    assert read_host_name(raw) == name


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b".", b"..", b".a", b"a..b", b"-a.b", b"a-.b", b"a" * 64 + b".b"),
        *(b"a b", b"a\n.b", b"a\0.b", b"b\xc3\xbccher.example", b"a/b", b"a:443", b"*.example.com"),
        # Addresses are no names.
        *(b"192.0.2.1", b"2001:db8::1", b"example.7"),
        b".".join([b"a" * 63] * 4),
        b"api.openai.com\n",
    ],
)
def test_what_is_no_host_name_is_not_told(raw: bytes) -> None:
    assert read_host_name(raw) is None

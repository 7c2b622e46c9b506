"""The webhook, and what all outputs over HTTP share."""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trustme
from aiohttp import web

from busted.sinks.channel import Refused, Unavailable, WrongOutput
from busted.sinks.webhook import WebhookChannel, WebhookSettings
from tests.unit.sinks.peers import HttpServer, event_json, http_server, items, stream_server

KEY, TOKEN = "k" * 32, "t" * 32


def ok(_: web.Request, __: bytes) -> web.Response:
    return web.Response()


def post(
    settings: WebhookSettings,
    answer: Callable[[web.Request, bytes], web.Response] = ok,
    **site: object,
) -> HttpServer:
    """Send two events to a server."""

    async def run() -> HttpServer:
        async with http_server(answer, **site) as server:
            channel = WebhookChannel(f"{server.url}/hook", settings, now=lambda: 1.7e9)
            try:
                await channel.send(items(1, 2))
            finally:
                await channel.close()
            return server

    return asyncio.run(run())


def test_events_go_out_as_lines_of_json() -> None:
    ((request, body),) = post(WebhookSettings()).requests

    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert body == event_json(1) + b"\n" + event_json(2) + b"\n"
    assert "Busted-Signature" not in request.headers


def test_events_go_out_as_one_array() -> None:
    ((request, body),) = post(WebhookSettings(format="array")).requests

    assert request.headers["Content-Type"] == "application/json"
    assert [event["id"] for event in msgspec.json.decode(body)] == ["event-1", "event-2"]


def test_a_request_is_signed_and_carries_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(KEY + "\n")
    monkeypatch.setenv("HOOK_TOKEN", TOKEN)
    settings = WebhookSettings(secret_file=tmp_path / "secret", token_env="HOOK_TOKEN")
    ((request, body),) = post(settings).requests

    signed = request.headers["Busted-Timestamp"].encode() + b"." + body
    expected = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["Busted-Signature"] == expected
    assert request.headers["Busted-Timestamp"] == "1700000000"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_user_and_password_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "user:word")
    ((request, _),) = post(WebhookSettings(token_env="HOOK_TOKEN", scheme="Basic")).requests

    assert request.headers["Authorization"] == "Basic dXNlcjp3b3Jk"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_offered_again(status: int) -> None:
    with pytest.raises(Unavailable, match=str(status)) as caught:
        post(WebhookSettings(), lambda _, __: web.Response(status=status))
    assert caught.value.after is None


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"Retry-After": "7"}, 7.0),
        (
            {
                "Retry-After": "Wed, 21 Oct 2015 07:28:05 GMT",
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            5.0,
        ),
        ({"Retry-After": "soon"}, None),
    ],
)
def test_a_server_says_how_long_to_wait(headers: dict[str, str], after: float | None) -> None:
    with pytest.raises(Unavailable) as caught:
        post(WebhookSettings(), lambda _, __: web.Response(status=503, headers=headers))
    assert caught.value.after == after


@pytest.mark.parametrize(
    ("status", "one_of_them"), [(400, True), (413, True), (401, False), (404, False), (302, False)]
)
def test_what_will_not_change_is_refused(status: int, one_of_them: bool) -> None:
    elsewhere = {"Location": "/elsewhere"}
    with pytest.raises(Refused, match=str(status)) as caught:
        post(WebhookSettings(), lambda _, __: web.Response(status=status, headers=elsewhere))
    assert caught.value.one_of_them is one_of_them


def test_a_peer_that_speaks_no_http_is_no_success() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x00\xff garbage\r\n\r\n")

    async def run() -> None:
        async with stream_server(garbage) as port:
            channel = WebhookChannel(f"http://127.0.0.1:{port}/", WebhookSettings())
            with pytest.raises(Unavailable):
                await channel.send(items(1))
        with pytest.raises(Unavailable, match="cannot connect"):
            await channel.send(items(1))
        await channel.close()

    asyncio.run(run())


def test_a_peer_that_does_not_answer_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def run() -> None:
        async with stream_server(silent) as port:
            channel = WebhookChannel(f"http://127.0.0.1:{port}/", WebhookSettings(timeout=0.2))
            with pytest.raises(Unavailable, match=r"no answer in 0\.2 seconds"):
                await channel.send(items(1))
            await channel.close()

    asyncio.run(run())


class Certificates:
    """An authority with a server and a client, in files."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.client = directory / "client.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(
            str(self.client)
        )
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        authority.issue_cert("127.0.0.1").configure_cert(self.server)
        self.server.verify_mode = ssl.CERT_REQUIRED


def test_both_sides_show_certificates(tmp_path: Path) -> None:
    known = Certificates(tmp_path)
    settings = WebhookSettings(ca_file=known.ca, cert_file=known.client)

    assert len(post(settings, ssl_context=known.server).requests) == 1
    with pytest.raises(Unavailable):
        post(WebhookSettings(ca_file=known.ca), ssl_context=known.server)
    with pytest.raises(Unavailable, match="not to be trusted"):
        post(WebhookSettings(), ssl_context=known.server)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("ftp://host", WebhookSettings(), "is no URL"),
        ("https://user:word@host", WebhookSettings(), "may hold no password"),
        ("https://host", WebhookSettings(token_env="NOT_SET_AT_ALL"), "has no NOT_SET_AT_ALL"),
        ("https://host", WebhookSettings(secret_file=Path("/dev/null")), "is empty"),
        ("https://host", WebhookSettings(token_file=Path("/away")), "cannot read /away"),
        (
            "https://host",
            WebhookSettings(token_file=Path("/dev/null"), token_env="A"),
            "exclude each other",
        ),
        ("https://host", WebhookSettings(ca_file=Path("/away")), "certificates"),
    ],
)
def test_wrong_settings_are_told_at_the_start(
    target: str, settings: WebhookSettings, message: str
) -> None:
    with pytest.raises(WrongOutput, match=message):
        WebhookChannel(target, settings)

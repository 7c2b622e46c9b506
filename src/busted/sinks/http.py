"""What outputs over HTTP share: one session, whom to trust, secrets, and what a status means.

A status in the 200s is success. 408, 425, 429 and those in the 500s are for later (RFC 9110
section 15, RFC 6585 section 4, RFC 8470 section 5.2); anything else will not change by itself: it
is refused. Redirects are not followed, since they may lead anywhere, and proxies of the environment
are not used.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from busted import __version__
from busted.sinks.channel import Refused, Unavailable, WrongOutput, reason
from busted.sinks.settings import TlsSettings, secret, tls_context

# Answers are short; the longest, of a bulk request, tells of each event.
MAX_ANSWER_BYTES = 4 << 20
_LATER = frozenset({408, 425, 429})
# Bad Request, Content Too Large, Unprocessable Content: about what was sent, not who or where.
_ABOUT_CONTENT = frozenset({400, 413, 422})


class HttpSettings(TlsSettings, frozen=True, kw_only=True):
    """Settings of all outputs over HTTP; `scheme` stands before the token in `Authorization`.

    For the scheme Basic the token is `user:password`.
    """

    token_file: Path | None = None
    token_env: str | None = None
    scheme: str = "Bearer"


class HttpPeer:
    """Posts to one server."""

    def __init__(self, target: str, settings: HttpSettings) -> None:
        """Check the settings and read the secrets. Raises WrongOutput."""
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WrongOutput(f"{target!r} is no URL such as https://host/path")
        if parts.username or parts.password:
            raise WrongOutput("a URL may hold no password: use token_file or token_env")
        self.url = target
        self._timeout = settings.timeout
        self._tls = tls_context(settings) if parts.scheme == "https" else None
        self._headers = {"User-Agent": f"busted/{__version__}"}
        if token := secret("token", settings.token_file, settings.token_env):
            if settings.scheme.lower() == "basic":
                token = base64.b64encode(token.encode()).decode()
            self._headers["Authorization"] = f"{settings.scheme} {token}"
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the answer's body. Raises Unavailable or Refused."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                connector=aiohttp.TCPConnector(ssl=self._tls if self._tls else True),
                # Cookies would be state that a restart loses.
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        try:
            async with self._session.post(
                url, data=body, headers={**self._headers, **headers}, allow_redirects=False
            ) as response:
                answer = await response.content.read(MAX_ANSWER_BYTES)
                while len(answer) < MAX_ANSWER_BYTES and not response.content.at_eof():
                    answer += await response.content.read(MAX_ANSWER_BYTES - len(answer))
                _check(response.status, response.headers.get("Retry-After"), response)
                return answer
        except TimeoutError as error:
            raise Unavailable(f"no answer in {self._timeout:g} seconds") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise Unavailable(f"certificate of {error.host}: not to be trusted") from error
        except aiohttp.ClientConnectorError as error:
            why = f"{error.host}:{error.port}: {reason(error.os_error)}"
            raise Unavailable(f"cannot connect to {why}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"no proper answer ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()


def json_answer(answer: bytes) -> Any:
    """Return what a JSON body says. Raises Unavailable: what does not answer so is another peer."""
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise Unavailable("the answer is no JSON") from error


def _check(status: int, retry_after: str | None, response: aiohttp.ClientResponse) -> None:
    if 200 <= status < 300:
        return
    if status in _LATER or status >= 500:
        raise Unavailable(f"HTTP {status}", _seconds(retry_after, response.headers.get("Date")))
    raise Refused(f"HTTP {status}", one_of_them=status in _ABOUT_CONTENT)


def _seconds(retry_after: str | None, date: str | None) -> float | None:
    """Return `Retry-After` in seconds (RFC 9110 section 10.2.3), by the peer's own clock."""
    if not retry_after:
        return None
    try:
        return float(int(retry_after))
    except ValueError:
        pass
    try:
        then, now = parsedate_to_datetime(retry_after), parsedate_to_datetime(date or "")
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):  # one of them may have no zone
        return None

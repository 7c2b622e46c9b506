"""Which credential a request carries, told without telling it: its scheme and a keyed hash.

The hash is the same for the same secret wherever it stands, so that two agents that share a key
are seen to. Its key is random and of one run, or anybody could try candidates.

Left out: OAuth tokens in bodies, cookies, client certificates.
"""

from __future__ import annotations

import hashlib
import re

from busted.classifier.privacy import scheme_of
from busted.events import Credential
from busted.protocols.http import NamedHeaders

# 64 bits: enough to tell some thousand credentials apart.
HASH_BYTES = 8

# Headers that hold a secret and nothing else, with what they tell as the scheme.
_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
# Google takes its key in the query too.
_KEY_QUERY = re.compile(r"[?&]key=([^&#]{1,4096})")
# A signature is another one each time; whose it is, its `Credential` says:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
_AWS_KEY = re.compile(r"Credential=([^/,\s]{1,256})/")


def credential(headers: NamedHeaders, target: str, key: bytes) -> Credential | None:
    """Return the scheme and the hash of a request's credential; None without one, or no key."""
    if not key:
        return None
    found = _find(headers, target)
    if found is None:
        return None
    scheme, secret = found
    # A lone surrogate cannot come from a header, but from whoever calls with any text.
    data = secret.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(data, digest_size=HASH_BYTES, key=key, person=b"credential")
    return Credential(scheme=scheme, hash=digest.hexdigest())


def _find(headers: NamedHeaders, target: str) -> tuple[str, str] | None:
    value = headers.get("authorization", "").strip()
    scheme, secret = scheme_of(value)
    if scheme == "aws4-hmac-sha256":
        match = _AWS_KEY.search(secret)
        return (scheme, match[1]) if match else None
    if secret:
        return scheme or "authorization", secret
    for name in _KEY_HEADERS:
        if secret := headers.get(name, "").strip():
            return name, secret
    match = _KEY_QUERY.search(target)
    return ("query", match[1]) if match else None

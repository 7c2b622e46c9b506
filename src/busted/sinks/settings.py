"""What an operator says of an output: settings that all kinds have, and secrets.

Each kind has its own settings on top of these, as fields of a struct; unknown ones are errors.
Secrets never stand on a command line, which every process of the host can read: settings name
a file or an environment variable that holds them.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from busted.sinks.channel import WrongOutput

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

# A token or a key; more is another file given by mistake.
MAX_SECRET_BYTES = 16 << 10


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every output has."""

    # What of what was said it shows; None: as --content says.
    content: Literal["none", "redacted", "full"] | None = None
    # Tells outputs of a kind apart, in messages, in the names of spools and in `lost`.
    name: str | None = None


class QueuedSettings(Settings, frozen=True, kw_only=True):
    """What outputs have that deliver in batches."""

    batch_events: Count = 500
    batch_bytes: Count = 1 << 20
    batch_seconds: Positive = 1.0


class RemoteSettings(QueuedSettings, frozen=True, kw_only=True):
    """What outputs have whose peer may be away; `spool` is a directory or "off"."""

    # None: in the state directory.
    spool: str | None = None
    # Ten minutes of a very busy host, a day of a usual one.
    spool_bytes: Count = 256 << 20
    # A week.
    spool_seconds: Positive = 7 * 86400.0
    # How long a peer may take to answer.
    timeout: Positive = 30.0


class TlsSettings(RemoteSettings, frozen=True, kw_only=True):
    """What outputs have that may speak TLS: whom to trust, and who we are."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


def secret(what: str, file: Path | None, variable: str | None) -> str | None:
    """Return a secret from a file or a variable, None when neither is given. WrongOutput."""
    if file and variable:
        raise WrongOutput(f"{what}_file and {what}_env exclude each other")
    if variable:
        if not (value := os.environ.get(variable)):
            raise WrongOutput(f"{what}_env: the environment has no {variable}")
        return value
    if not file:
        return None
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
        value = content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongOutput(f"{what}_file: cannot read {file}: {error}") from error
    if not value or len(content) > MAX_SECRET_BYTES:
        raise WrongOutput(f"{what}_file: {file} is empty or no {what}")
    return value


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return how to speak TLS; the peer's certificate is always checked. Raises WrongOutput."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(str(f) for f in (settings.ca_file, settings.cert_file) if f)
        raise WrongOutput(f"cannot use the certificates ({files}): {error}") from error
    return context

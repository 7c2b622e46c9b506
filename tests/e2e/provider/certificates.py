"""The certificates of the servers in the test bed, of an authority of their own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from tests.e2e.sandbox import NAMES


def tls(directory: Path) -> ssl.SSLContext:
    """Make an authority and a certificate for all names; the authority's goes to ca.pem.

    The certificate and its key go to server.pem, for a server that stands before this one.
    """
    authority = trustme.CA()
    directory.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(*NAMES)
    certificate.configure_cert(context)
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return context

"""`busted serve`: to whom, and over what."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from click.testing import CliRunner

from busted.cli.main import main
from tests.requirements import ROOT

SECONDS = 60


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """Give the address that a server says it has."""
    server = subprocess.Popen(
        [sys.executable, "-m", "busted.cli.main", "serve", "--listen", "127.0.0.1:0", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        line = next(line for line in server.stderr if "serving on" in line)
        yield line.split()[-1]
    finally:
        server.terminate()
        server.communicate(timeout=SECONDS)


def files(directory: Path) -> tuple[trustme.CA, list[str]]:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    key = directory / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    chain = directory / "chain.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    return authority, ["--tls-certificate", str(chain), "--tls-key", str(key)]


def test_it_answers_over_https_and_over_nothing_else(tmp_path: Path) -> None:
    authority, options = files(tmp_path)
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)
    absent = ["--socket", str(tmp_path / "none"), "--history", str(tmp_path / "none.db")]
    with serving(*options, *absent, "--token-file", str(token)) as address:
        where = urlsplit(address)
        assert where.scheme == "https"
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {'t' * 32}"}, 200)):
            asked = http.client.HTTPSConnection(
                "127.0.0.1", where.port, timeout=SECONDS, context=trusting
            )
            with closing(asked):
                asked.request("GET", f"{where.path}/meta", headers=headers)
                assert asked.getresponse().status == status
        plain = http.client.HTTPConnection("127.0.0.1", where.port, SECONDS)
        with closing(plain), pytest.raises((http.client.HTTPException, OSError)):
            plain.request("GET", f"{where.path}/meta")
            plain.getresponse()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--listen", "192.0.2.1:1"], "needs --token-file"),
        (["--listen", "192.0.2.1:1", "--token-file", "x"], "needs --tls-certificate"),
        (["--user-header", "X-User"], "of no use without --token-file"),
        (["--tls-key", "x"], "of no use without --tls-certificate"),
        (["--tls-certificate", "/nowhere"], "No such file"),
        (["--tls-certificate", __file__], "cannot use the certificate"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(options: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["serve", *options])
    assert done.exit_code != 0
    assert told in f"{done.output}{done.exception}"

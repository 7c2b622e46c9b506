"""A real HTTP/2 server before the provider, which does not speak that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.bed import Bed
from tests.e2e.deadline import until
from tests.e2e.sandbox import ADDRESS

PORT = 8443
# Where the client of tests/e2e/clients/openai_http2.py shall ask.
AT_FRONT = {"OPENAI_BASE_URL": f"https://api.openai.com:{PORT}/v1"}


@contextmanager
def http2_front(bed: Bed, *options: str, window: int = 65535) -> Iterator[None]:
    """Run nghttpx in the sandbox, which listens on `PORT` and passes on to the provider.

    It takes `window` bytes of a request, and of a connection, ahead of reading them. Options are
    those of nghttpx.
    """
    key = str(bed.directory / "server.pem")
    process = bed.sandbox.start(
        [
            *("nghttpx", f"--frontend={ADDRESS},{PORT}", f"--backend={ADDRESS},443;;tls"),
            f"--frontend-http2-window-size={window}",
            f"--frontend-http2-connection-window-size={window}",
            *(
                "--insecure",
                "--single-process",
                "--workers=1",
                "--padding=20",
                "--errorlog-file=/dev/null",
            ),
            *("--accesslog-file=/dev/null", "--conf=/dev/null", *options, key, key),
        ]
    )
    page = ["curl", "-sS", "--http2", f"https://www.example.com:{PORT}/"]
    try:
        until(lambda: bed.sandbox.run(page).code == 0, "the front passes on")
        assert process.poll() is None
        yield
    finally:
        process.kill()
        process.wait()  # the next one takes the same port

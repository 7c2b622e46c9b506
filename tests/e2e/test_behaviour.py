"""A connection that nobody can read, told by how it behaves; with the model that is shipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.bed import Bed
from tests.e2e.monitor import Monitor, replay

# Both ends, without TLS that could be read: KIND is `words`, which come as a model makes them, or
# `file`. It goes on until it is told to stop, so that a busy machine may need longer.
SCRIPT = """
import random, socket, sys, threading, time
kind = sys.argv[1]
server = socket.create_server(("127.0.0.1", 0))
def answer():
    while True:
        peer, _ = server.accept()
        try:
            asked = 0
            while asked < 8000: asked += len(peer.recv(1 << 16))
            time.sleep(0.5)
            for _ in range(150 if kind == "words" else 40):
                peer.sendall(b"x" * (random.randint(150, 260) if kind == "words" else 100_000))
                time.sleep(random.uniform(0.01, 0.03))
        except OSError:
            pass
        peer.close()
threading.Thread(target=answer, daemon=True).start()
def ask():
    while True:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"x" * 8000)
            while client.recv(1 << 16): pass
threading.Thread(target=ask, daemon=True).start()
sys.stdin.readline()
"""


def test_what_streams_like_a_model_to_a_host_nobody_named_is_novel(
    test_bed: Bed, tmp_path: Path
) -> None:
    recorded = tmp_path / "novel.rec"
    with Monitor("--record", str(recorded)) as monitor:
        words = test_bed.sandbox.start(
            [sys.executable, "-c", SCRIPT, "words"], stdin=subprocess.PIPE
        )
        file = test_bed.sandbox.start([sys.executable, "-c", SCRIPT, "file"], stdin=subprocess.PIPE)
        try:
            monitor.wait_for(words.pid, "Network", 2)
        finally:
            words.kill()
            file.kill()
        assert monitor.stop() == 130, monitor.stderr
        assert monitor.lost == {}
        told = [event for event in monitor.events if event["action"].get("operation") == "novel"]

    assert {event["process"]["pid"] for event in told} == {words.pid}
    assert told[0]["behavior"]["kind"] == "llm_api"
    assert told[0]["behavior"]["confidence"] >= 0.9
    assert told[0]["connection"]["dst_ip"] == "127.0.0.1"
    done = replay("--format", "json", "--content", "full", str(recorded))
    replayed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e for e in replayed if e["action"].get("operation") == "novel"] == told

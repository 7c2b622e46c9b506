"""What a worker does: takes one policy, then answers for events until its socket is closed.

It is meant to be lost. It may hang, run out of memory or crash in native code; the engine at the
other end sees that, and has it replaced. A timer of its own ends it even where nobody is left to.
"""

from __future__ import annotations

import signal
import socket

from busted.policy.compiled import Compiled
from busted.policy.messages import Answer, Ask, Frames, Load, Loaded, frame, receive
from busted.policy.sources import PolicyError

# The engine's deadline comes first; this one is for a worker whose engine is gone.
_SPARE_SECONDS = 1.0
# A policy that takes longer than this to compile will not decide in milliseconds either.
LOAD_SECONDS = 10.0


def work(connection: socket.socket) -> None:
    """Serve until the other end is closed."""
    # Python's own handler would wait for native code to return.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    frames = Frames()
    load = receive(connection, frames)
    if not isinstance(load, Load):
        return
    signal.setitimer(signal.ITIMER_REAL, LOAD_SECONDS + _SPARE_SECONDS)
    try:
        policy = Compiled(load.sources, load.on_error, tried=load.tried)
    except PolicyError as failure:
        connection.sendall(frame(Loaded(failure.problems)))
        return
    connection.sendall(frame(Loaded((), policy.versions)))
    signal.setitimer(signal.ITIMER_REAL, 0)
    while isinstance(ask := receive(connection, frames), Ask):
        signal.setitimer(signal.ITIMER_REAL, ask.seconds + _SPARE_SECONDS)
        for event in ask.events:
            answer: Answer = policy.evaluate(event)
            connection.sendall(frame(answer))
        signal.setitimer(signal.ITIMER_REAL, LOAD_SECONDS + _SPARE_SECONDS)
        policy.prepare()
        signal.setitimer(signal.ITIMER_REAL, 0)

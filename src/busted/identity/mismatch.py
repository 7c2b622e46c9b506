"""What does not fit together: a finding, and not only less confidence.

- `user_agent`: a request names an agent that its process is not, as curl that says `claude-cli`.
- `build_id`: a known agent's executable is one that never spoke for it before. After an update
  that is expected, at the same path; elsewhere it may be somebody's copy.
- `session`: the session that an agent names in a header is one of another program or user, or
  two processes use it in turns. That a later run goes on with a session is usual.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from busted.identity.profile import Finding, Profile, Signals
from busted.identity.programs import Program

# Events of one moment come in any order, and which of two builds was first must not depend on it.
SETTLED_NS = 1_000_000_000
# Sessions that are remembered; an agent has a new one each time it is started.
MAX_SESSIONS = 4096


class _Use(msgspec.Struct):
    """Which process uses a session now, and which did before."""

    instance: str
    program: str
    principal: str
    before: tuple[str, ...] = ()


class Mismatches:
    """Finds them; remembers sessions, bounded."""

    def __init__(self, agents: frozenset[str], max_sessions: int = MAX_SESSIONS) -> None:
        """`agents` are those that are known by their executables."""
        self._agents, self._max = agents, max_sessions
        self._sessions: OrderedDict[str, _Use] = OrderedDict()

    def learn(self, agents: frozenset[str]) -> None:
        """Take the agents that are known by their executables from now on."""
        self._agents = agents

    def claim(
        self,
        claimed: str,
        recognised: str,
        parent: str,
        program: Program,
        exe: str | None,
        argv: Sequence[str],
    ) -> Finding | None:
        """Compare the agent that a request names with what the process and its parents are.

        `recognised` is the agent that the executable shows, `parent` that of the nearest above.
        A process that was gone before it was looked at is not doubted.
        """
        if not claimed or exe is None or claimed == recognised:
            return None
        if recognised:
            return Finding("user_agent", f"says {claimed}, runs {recognised} ({exe})")
        # A helper that its agent started; and a program that has left its arguments.
        if claimed == parent or not argv:
            return None
        if program.generic or claimed in self._agents:
            return Finding("user_agent", f"says {claimed}, runs {program.name} ({exe})")
        return None

    def build(self, profile: Profile, signals: Signals, now_ns: int) -> Finding | None:
        """Compare a known agent's executable with those that spoke for it before."""
        if not profile.agent or not signals.build_id or profile.knows(signals.build_id):
            return None
        before = [build for build in profile.builds if build.since_ns + SETTLED_NS <= now_ns]
        if not before:
            return None
        places = {build.exe for build in before}
        where = "at the same place" if signals.exe in places else "at another place"
        detail = f"{signals.exe} has the build id {signals.build_id}, never seen of {profile.agent}"
        return Finding("build_id", f"{detail}, {where}")

    def session(self, session: str, instance: str, program: str, principal: str) -> Finding | None:
        """Compare who uses a session with who used it before; `session` may be empty."""
        if not session:
            return None
        use = self._sessions.pop(session, None) or _Use(instance, program, principal)
        self._sessions[session] = use
        if len(self._sessions) > self._max:
            self._sessions.popitem(last=False)
        if use.instance == instance:
            return None
        if (use.program, use.principal) != (program, principal):
            return Finding(
                "session", f"session {session} of process {use.instance} ({use.program})"
            )
        if instance in use.before:
            return Finding("session", f"session {session} is also used by process {use.instance}")
        use.before = (*use.before, use.instance)[-4:]
        use.instance = instance
        return None

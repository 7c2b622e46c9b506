"""Which processes belong to AI agents: the agents, and all that they started.

Strategy: records of fork, exec and exit in, answers out; no I/O, no clock. A process is its pid
and its start, so a recycled pid is another process. Only agents' processes are kept: a process
comes in when it is recognised, or with a parent that is in, and one that ended stays for a
while, for records that come late. Where forks were lost, an exec names its parent as well.

An agent that starts another agent is that one's parent: what the inner one does is told of the
inner one.

Left out: what a process was before an exec. An agent that executes something else stays one, as
launchers do that replace themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from busted.records import ProcessExec, ProcessExit, ProcessFork, ProcessKey

# As many as the kernel side remembers (the `agents` map of bpf/common.h).
MAX_PROCESSES = 16384
# Records of one process come through one ring, in order; but what was said over its connections
# is told when it is complete, and its children's records name it after it ended.
KEEP_NS = 60 * 1_000_000_000
# Agents run tools through a few shells; deeper chains are told up to here.
MAX_PARENTS = 16

_UNKNOWN = ProcessKey(0, 0)

Recognise = Callable[[str, Sequence[str]], str | None]
"""Names the agent that a process is, given the path it executes and its arguments."""


class Agent(msgspec.Struct, frozen=True):
    """An AI agent that runs, or ran, on this host."""

    name: str
    process: ProcessKey


class Node(msgspec.Struct):
    """One process of an agent."""

    parent: ProcessKey
    agent: Agent
    name: str = ""
    ended_ns: int | None = None


class ProcessTree:
    """The processes of agents, bounded; those that ended go first, then the oldest."""

    def __init__(
        self,
        recognise: Recognise,
        max_processes: int = MAX_PROCESSES,
        keep_ns: int = KEEP_NS,
    ) -> None:
        """`forgotten` counts running processes that had to make room for others."""
        self._recognise, self._max, self._keep_ns = recognise, max_processes, keep_ns
        self._nodes: dict[ProcessKey, Node] = {}
        self._ended: dict[ProcessKey, int] = {}
        self.forgotten = 0

    def learn(self, recognise: Recognise) -> None:
        """Know agents by this from now on; who is known to be one, stays one."""
        self._recognise = recognise

    def see(
        self, key: ProcessKey, parent: ProcessKey, name: str, exe: str, argv: Sequence[str]
    ) -> Agent | None:
        """Take a process that runs; return its agent. Parents have to be seen before."""
        known = self._nodes.get(key)
        if known is not None:
            return known.agent
        return self._executes(key, parent, name, exe, argv)

    def fork(self, record: ProcessFork) -> Agent | None:
        """Take a fork; return the agent that the child belongs to."""
        parent = self._nodes.get(record.parent)
        if parent is None:
            return None
        self._add(record.key, Node(record.parent, parent.agent, parent.name))
        return parent.agent

    def exec(self, record: ProcessExec) -> Agent | None:
        """Take an exec; return the agent that the process belongs to from now on."""
        argv = [text(word) for word in record.argv]
        return self._executes(record.key, record.parent, text(record.comm), text(record.path), argv)

    def exit(self, record: ProcessExit) -> None:
        """Take the end of a process; it is kept for a while."""
        node = self._nodes.get(record.key)
        if node is not None:
            node.ended_ns = record.time_ns
            self._ended[record.key] = record.time_ns

    def name(self, key: ProcessKey, agent: str, name: str) -> bool:
        """Take that a process is an agent, as its requests say; False when that was known.

        `name` is the process's own.
        """
        node = self._nodes.get(key)
        if node is not None and agent in (node.agent.name, *self._outer(node)):
            return False
        found = Agent(agent, key)
        if node is None:
            self._add(key, Node(_UNKNOWN, found, name))
            return True
        before = node.agent
        for other in self._nodes.values():
            if other is node or (other.agent == before and key in self._chain(other)):
                other.agent = found
        return True

    def agent_of(self, key: ProcessKey) -> Agent | None:
        """Return the agent that a process belongs to, also for a while after its end."""
        node = self._nodes.get(key)
        return node.agent if node else None

    def parents(self, key: ProcessKey) -> tuple[str, ...]:
        """Return the names of a process's parents, nearest first, up to its agent."""
        node = self._nodes.get(key)
        if node is None:
            return ()
        names = []
        for parent in self._chain(node):
            names.append(self._nodes[parent].name)
            if parent == node.agent.process:
                break
        return tuple(names)

    def expire(self, now_ns: int) -> None:
        """Let go of those that ended long ago."""
        for key, ended_ns in list(self._ended.items()):
            if now_ns - ended_ns < self._keep_ns:
                break
            self._drop(key)

    def __len__(self) -> int:
        """Count the processes that are kept."""
        return len(self._nodes)

    def _executes(
        self,
        key: ProcessKey,
        parent: ProcessKey,
        name: str,
        exe: str,
        argv: Sequence[str],
    ) -> Agent | None:
        node, above = self._nodes.get(key), self._nodes.get(parent)
        recognised = self._recognise(exe, argv)
        agent = node.agent if node else above.agent if above else None
        if recognised and not (agent and agent.name == recognised):
            agent = Agent(recognised, key)
        if agent is None:
            return None
        if node is None:
            self._add(key, Node(parent, agent, name))
        else:
            node.agent, node.name = agent, name
            # Not when its parent ended and another adopted it: who made it is wanted.
            if node.parent == _UNKNOWN:
                node.parent = parent
        return agent

    def _outer(self, node: Node) -> Iterator[str]:
        return (self._nodes[key].agent.name for key in self._chain(node))

    def _chain(self, node: Node) -> Iterator[ProcessKey]:
        for _ in range(MAX_PARENTS):
            key = node.parent
            above = self._nodes.get(key)
            if above is None:
                return
            yield key
            node = above

    def _add(self, key: ProcessKey, node: Node) -> None:
        self._nodes[key] = node
        if len(self._nodes) > self._max:
            if not self._ended:
                self.forgotten += 1
            self._drop(next(iter(self._ended or self._nodes)))

    def _drop(self, key: ProcessKey) -> None:
        self._nodes.pop(key, None)
        self._ended.pop(key, None)


def text(word: bytes) -> str:
    """Return a path, a name or an argument, which are any bytes, as an event may have it."""
    return word.decode("utf-8", "replace")

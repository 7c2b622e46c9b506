"""The processes of agents: who belongs to whom, through fork, exec, exit and recycled pids."""

from __future__ import annotations

from busted.agent.process_tree import KEEP_NS, MAX_PARENTS, ProcessTree
from busted.enrich.agents import Agents
from busted.enrich.agents_table import AGENTS
from busted.records import ProcessExec, ProcessExit, ProcessFork, ProcessKey

INIT = ProcessKey(1, 1)
SHELL = ProcessKey(10, 100)
AGENT = ProcessKey(20, 200)
CHILD = ProcessKey(30, 300)
GRANDCHILD = ProcessKey(40, 400)


def tree(max_processes: int = 100) -> ProcessTree:
    return ProcessTree(Agents(AGENTS).recognise, max_processes)


def executed(key: ProcessKey, parent: ProcessKey, command: str, time_ns: int = 0) -> ProcessExec:
    argv = tuple(word.encode() for word in command.split())
    comm = argv[0].rpartition(b"/")[2]
    return ProcessExec(key, time_ns, parent, 1, 1, 0, 0, 0, comm, argv[0], argv, False)


def forked(key: ProcessKey, parent: ProcessKey) -> ProcessFork:
    return ProcessFork(key, 0, parent, 0)


def agent_name(processes: ProcessTree, key: ProcessKey) -> str | None:
    agent = processes.agent_of(key)
    return agent.name if agent else None


def with_agent(max_processes: int = 100) -> ProcessTree:
    processes = tree(max_processes)
    processes.exec(executed(AGENT, SHELL, "/usr/bin/claude"))
    return processes


def test_what_an_agent_starts_belongs_to_it_to_the_last_grandchild() -> None:
    processes = with_agent()
    processes.fork(forked(CHILD, AGENT))
    processes.exec(executed(CHILD, AGENT, "/bin/bash -c ls"))
    processes.fork(forked(GRANDCHILD, CHILD))
    processes.exec(executed(GRANDCHILD, CHILD, "/bin/ls"))

    agent = processes.agent_of(GRANDCHILD)
    assert agent is not None
    assert (agent.name, agent.process) == ("claude-code", AGENT)
    assert processes.parents(GRANDCHILD) == ("bash", "claude")
    assert processes.parents(AGENT) == ()


def test_other_processes_are_nobodys_and_take_no_room() -> None:
    processes = tree()
    assert processes.exec(executed(CHILD, SHELL, "/bin/ls")) is None
    assert processes.fork(forked(GRANDCHILD, CHILD)) is None
    assert processes.agent_of(CHILD) is None
    assert len(processes) == 0


def test_a_recycled_pid_is_another_process() -> None:
    processes = with_agent()
    processes.fork(forked(CHILD, AGENT))
    processes.exit(ProcessExit(CHILD, 5))
    later = ProcessKey(CHILD.pid, CHILD.start_ns + 1)

    assert processes.agent_of(later) is None
    assert agent_name(processes, CHILD) == "claude-code"


def test_a_process_that_ended_is_kept_for_late_records_and_then_let_go() -> None:
    processes = with_agent()
    processes.exit(ProcessExit(AGENT, 1000))
    processes.expire(1000 + KEEP_NS - 1)
    assert agent_name(processes, AGENT) == "claude-code"
    processes.expire(1000 + KEEP_NS)
    assert processes.agent_of(AGENT) is None
    assert len(processes) == 0


def test_a_process_whose_fork_was_lost_is_known_by_the_parent_its_exec_names() -> None:
    processes = with_agent()
    processes.exec(executed(CHILD, AGENT, "/bin/ls"))
    assert agent_name(processes, CHILD) == "claude-code"


def test_who_made_a_process_stays_its_parent_when_another_adopts_it() -> None:
    processes = with_agent()
    processes.fork(forked(CHILD, AGENT))
    processes.exec(executed(CHILD, INIT, "/usr/bin/sleep 9"))
    assert agent_name(processes, CHILD) == "claude-code"
    assert processes.parents(CHILD) == ("claude",)


def test_a_launcher_that_replaces_itself_stays_the_agent() -> None:
    processes = with_agent()
    processes.exec(executed(AGENT, SHELL, "/usr/bin/env node /usr/bin/claude"))
    processes.exec(executed(AGENT, SHELL, "/usr/bin/node --flag"))
    agent = processes.agent_of(AGENT)
    assert agent is not None
    assert (agent.name, agent.process) == ("claude-code", AGENT)


def test_an_agent_within_an_agent_has_children_of_its_own() -> None:
    processes = with_agent()
    processes.fork(forked(CHILD, AGENT))
    processes.exec(executed(CHILD, AGENT, "/usr/bin/codex exec"))
    processes.fork(forked(GRANDCHILD, CHILD))
    processes.exec(executed(GRANDCHILD, CHILD, "/bin/ls"))

    assert agent_name(processes, CHILD) == agent_name(processes, GRANDCHILD) == "codex"
    assert processes.parents(GRANDCHILD) == ("codex",)


def test_a_helper_of_the_same_name_is_no_agent_of_its_own() -> None:
    processes = with_agent()
    processes.fork(forked(CHILD, AGENT))
    agent = processes.exec(executed(CHILD, AGENT, "/usr/bin/claude --helper"))
    assert agent is not None
    assert agent.process == AGENT


def test_a_process_is_an_agent_once_its_requests_say_so() -> None:
    processes = tree()
    assert processes.name(AGENT, "codex", "codex-x86")
    assert not processes.name(AGENT, "codex", "codex-x86")
    processes.exec(executed(CHILD, AGENT, "/bin/ls"))
    assert agent_name(processes, CHILD) == "codex"
    assert processes.parents(CHILD) == ("codex-x86",)


def test_requests_of_a_child_make_it_an_agent_with_all_below_it() -> None:
    processes = with_agent()
    processes.fork(forked(CHILD, AGENT))
    processes.fork(forked(GRANDCHILD, CHILD))
    other = ProcessKey(50, 500)
    processes.fork(forked(other, AGENT))

    assert processes.name(CHILD, "aider", "python3")
    assert [agent_name(processes, key) for key in (AGENT, CHILD, GRANDCHILD, other)] == [
        "claude-code",
        "aider",
        "aider",
        "claude-code",
    ]
    assert not processes.name(GRANDCHILD, "claude-code", "node"), "its agent's own helper"


def test_running_processes_are_taken_parents_first() -> None:
    processes = tree()
    assert processes.see(SHELL, INIT, "bash", "/bin/bash", ("bash",)) is None
    assert processes.see(AGENT, SHELL, "node", "/usr/bin/node", ("node", "/usr/bin/claude"))
    assert processes.see(CHILD, AGENT, "bash", "/bin/bash", ("bash",))
    assert agent_name(processes, CHILD) == "claude-code"
    assert processes.parents(CHILD) == ("node",)


def test_memory_is_bounded_and_those_that_ended_go_first() -> None:
    processes = with_agent(max_processes=3)
    for pid in range(100, 110):
        child = ProcessKey(pid, pid)
        processes.fork(forked(child, AGENT))
        processes.exit(ProcessExit(child, pid))
    assert len(processes) <= 3
    assert agent_name(processes, AGENT) == "claude-code"
    assert processes.forgotten == 0

    for pid in range(200, 204):
        processes.fork(forked(ProcessKey(pid, pid), AGENT))
    assert len(processes) <= 3
    assert processes.forgotten > 0


def test_a_chain_of_parents_ends_somewhere() -> None:
    processes = with_agent()
    above = AGENT
    for pid in range(100, 150):
        child = ProcessKey(pid, pid)
        processes.fork(forked(child, above))
        above = child
    assert len(processes.parents(above)) == MAX_PARENTS
    processes.fork(ProcessFork(AGENT, 0, above, 0))  # a circle, which no kernel makes
    assert len(processes.parents(above)) <= MAX_PARENTS

"""The process tree under any order of records, as a full ring or a hostile recording gives them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busted.agent.process_tree import ProcessTree
from busted.enrich.agents import Agents
from busted.enrich.agents_table import AGENTS
from busted.records import ProcessExec, ProcessExit, ProcessFork, ProcessKey

KEYS = st.builds(ProcessKey, st.integers(0, 5), st.integers(0, 2))
WORDS = st.sampled_from([b"/usr/bin/claude", b"codex", b"ls", b"\xff\xfe", b""])
TIMES = st.integers(0, 2**64 - 1)
RECORDS = st.one_of(
    st.builds(ProcessFork, KEYS, TIMES, KEYS, st.just(0)),
    st.builds(ProcessExit, KEYS, TIMES),
    st.builds(
        ProcessExec,
        key=KEYS,
        time_ns=TIMES,
        parent=KEYS,
        cgroup_id=st.just(1),
        inode=st.just(1),
        agent=st.just(0),
        uid=st.just(0),
        gid=st.just(0),
        comm=WORDS,
        path=WORDS,
        argv=st.lists(WORDS, max_size=3).map(tuple),
        truncated=st.booleans(),
    ),
    st.tuples(KEYS, st.sampled_from(["codex", "aider"])),
    TIMES,
)


@given(st.lists(RECORDS, max_size=60))
def test_any_records_leave_a_bounded_tree_whose_answers_agree(
    records: list[ProcessFork | ProcessExit | ProcessExec | tuple[ProcessKey, str] | int],
) -> None:
    tree = ProcessTree(Agents(AGENTS).recognise, max_processes=6, keep_ns=1000)
    for record in records:
        match record:
            case ProcessFork():
                answer = tree.fork(record)
                assert answer is None or tree.agent_of(record.key) == answer
            case ProcessExec():
                answer = tree.exec(record)
                assert tree.agent_of(record.key) == answer
            case ProcessExit():
                tree.exit(record)
            case (key, agent):
                tree.name(key, agent, "python3")
                assert tree.agent_of(key) is not None
            case int():
                tree.expire(record)
        assert len(tree) <= 6
        for key in {getattr(record, "key", ProcessKey(0, 0)), ProcessKey(1, 1)}:
            assert (tree.agent_of(key) is not None) or tree.parents(key) == ()

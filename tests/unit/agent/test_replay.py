from pathlib import Path

import pytest

from busted import events
from busted.agent.config import Selection
from busted.agent.recording import AgentProcess, Frame, Header, RawRecord, Tick
from busted.agent.replay import Replay, connection_events
from busted.enrich.containers import Cgroup, CgroupFacts
from busted.enrich.pods import PodFacts
from busted.enrich.processes import ProcessFacts
from busted.enrich.runtime_files import ContainerFacts
from busted.enrich.users import UserFacts
from busted.events import Coverage, Event, Process, Prompt, Response
from busted.records import Direction, ProcessExec, ProcessKey
from tests import recordings
from tests.recordings import ORIGIN, SINCE_NS, coverage, exchange
from tests.unit.test_records import encode

PROMPT, ANSWER = "What is the capital of France?", "Paris, naïve friend."


def replay(frames: list[Frame], selection: Selection = Selection()) -> list[Event]:  # noqa: B008
    return list(Replay(Header(origin=ORIGIN, selection=selection)).events(frames))


def test_a_recording_gives_the_events_of_the_live_run() -> None:
    told, prompt, response = replay(exchange(PROMPT, ANSWER))

    assert told == coverage()
    assert isinstance(prompt.action, Prompt)
    assert prompt.action.user_message == PROMPT
    assert prompt.time == ORIGIN.clock.time(SINCE_NS + 1_000_000_000)
    assert isinstance(response.action, Response)
    assert response.action.text == ANSWER
    assert response.action.latency == 1.0
    assert prompt.exchange_id == response.exchange_id


def test_a_replay_is_the_same_each_time() -> None:
    frames = exchange(PROMPT, ANSWER)

    assert replay(frames) == replay(frames)


def test_facts_of_the_process_and_its_library_are_those_recorded() -> None:
    _, prompt, _ = replay(exchange(PROMPT, ANSWER, argv=("python3", "agent.py")))

    assert prompt.process.argv == ("python3", "agent.py")
    assert prompt.process.exe == "/usr/bin/python3"
    assert prompt.connection is not None
    assert prompt.connection.tls_library == recordings.LIBRARY.path
    assert prompt.connection.sni == "api.openai.com"


def test_user_container_and_pod_are_those_recorded() -> None:
    container, uid = "ab" * 32, "0b3e7a34-9a1c-4f0e-8a55-0123456789ab"
    facts: list[Frame] = [
        CgroupFacts(Cgroup(container, "containerd", uid), cgroup_id="77"),
        ContainerFacts(container, "containerd", "server", "shop/web:3", "web-0", "shop"),
        PodFacts(uid, "web-0", "shop", owner="Deployment/web", labels={"app": "web"}),
        UserFacts(1000, "alice"),
    ]

    _, prompt, _ = replay([*facts, *exchange(PROMPT, ANSWER)])

    process = prompt.process
    assert (process.user, process.container_id, process.image) == ("alice", container, "shop/web:3")
    assert (process.pod, process.owner, process.labels) == (
        "web-0",
        "Deployment/web",
        {"app": "web"},
    )


@pytest.mark.parametrize(
    "selection", [Selection(pids=frozenset({1})), Selection(names=frozenset({"node"}))]
)
def test_processes_that_were_not_asked_for_stay_out(selection: Selection) -> None:
    assert replay(exchange(PROMPT, ANSWER), selection) == [coverage()]


def test_a_recording_that_was_cut_still_gives_what_is_unfinished() -> None:
    answer = recordings.response(ANSWER)
    frames = exchange(PROMPT, ANSWER)[:6]
    frames.append(recordings.data(Direction.READ, answer[:-10], SINCE_NS + 2_000_000_000))

    *_, response = replay(frames)

    assert isinstance(response.action, Response)
    assert response.action.truncated


def test_records_that_are_not_ours_are_counted() -> None:
    replay = Replay(Header(origin=ORIGIN))

    assert list(replay.events([RawRecord(b"\xffodd"), RawRecord(b""), Tick(1)])) == []
    assert replay.lost == {"undecodable_records": 2}


def pieces(data: bytes) -> list[bytes]:
    return [data[:70], data[70:]]


def test_two_streams_of_a_connection_give_its_events() -> None:
    written = recordings.request(PROMPT) + recordings.request("And of Spain?")
    read = recordings.response(ANSWER) + recordings.response("Madrid.")

    events = list(connection_events(pieces(written), pieces(read), "api.openai.com", ORIGIN))

    said = [e.action.user_message for e in events if isinstance(e.action, Prompt)]
    answered = [e.action.text for e in events if isinstance(e.action, Response)]
    assert (said, answered) == ([PROMPT, "And of Spain?"], [ANSWER, "Madrid."])
    exchanges = [e.exchange_id for e in events]
    assert exchanges[:2] == exchanges[2:]


def test_what_two_files_cannot_tell_is_left_out() -> None:
    prompt, response = connection_events(
        [recordings.request(PROMPT)], [recordings.response(ANSWER)], "api.openai.com", ORIGIN
    )

    assert isinstance(response.action, Response)
    assert response.action.latency is None
    assert response.action.time_to_first_token is None
    assert prompt.process == Process(pid=0, name="")


def test_one_direction_alone_gives_its_half() -> None:
    (prompt,) = connection_events([recordings.request(PROMPT)], [], None, ORIGIN)

    assert isinstance(prompt.action, Prompt)


def test_a_coverage_event_survives_the_file(tmp_path: Path) -> None:
    assert isinstance(replay([coverage()])[0].action, Coverage)


def test_a_replay_knows_the_agents_that_ran_when_it_was_recorded() -> None:
    child, parent = ProcessKey(30, 300), ProcessKey(20, 200)
    record = ProcessExec(child, 9, parent, 44, 1, 20, 0, 0, b"ls", b"/bin/ls", (b"ls",), False)
    facts = ProcessFacts(
        30, ORIGIN.clock.start_time(300), "/usr/bin/ls", ("ls",), "abcd", ORIGIN.clock.time(9)
    )
    frames: list[Frame] = [
        AgentProcess(parent, ProcessKey(1, 1), "node", "/usr/bin/node", ("node", "/bin/claude")),
        facts,
        RawRecord(encode(record)),
    ]

    (event,) = replay(frames)
    assert isinstance(event.action, events.ProcessExec)
    assert event.action.agent == "claude-code"
    assert event.action.parents == ("node",)
    assert (event.process.exe, event.process.build_id) == ("/usr/bin/ls", "abcd")

"""Scenarios: events with the agent that they are really of.

What is said comes from recordings of real clients (tests/golden); who says it, in which process
and when is made up, since no recording has twelve agents, twenty restarts or two users. Events of
a scenario come in the order of their times, as a monitor reports them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from busted.agent import recording
from busted.agent.clock import Clock
from busted.agent.replay import Replay
from busted.events import Connection, Credential, Event, Network, Process, Prompt, Sdk
from tests.golden.expected import HERE

Labelled = tuple[str, Event]

SECOND = 1_000_000_000
_CLOCK = Clock(0, 0)
_START_NS = 1_763_820_000 * SECOND

ROLES = (
    *("billing", "shipping", "returns", "sales", "hiring", "payroll"),
    *("legal", "security", "travel", "procurement", "marketing", "facilities"),
)
POLICY = (
    "You work for Acme. Be polite and brief, never promise a date, never tell a customer what "
    "another one pays, ask before you change an order, and write down what you did in the log. "
    "Amounts are in euros, dates as day and month. When you do not know, say so and name the "
    "person who does. "
)
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-5-mini", "o3")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One process that uses a model: what it is, and what the recording says instead."""

    label: str
    capture: str
    exe: str = "/usr/bin/python3.11"
    argv: tuple[str, ...] = ("python3", "/srv/agents/agent.py")
    name: str = "python3"
    uid: int = 1000
    build_id: str = "b" * 40
    number: int = 0
    system_prompt: str | None = None
    model: str | None = None
    tools: tuple[str, ...] | None = None
    sdk_version: str | None = None
    agent: Sdk | None = None
    agent_session: str | None = None
    credential: str | None = None
    ppid: int = 1
    container: dict[str, Any] = {}
    connects: bool = True
    after: float = 0.0
    """Seconds from the process's start until it says this."""


@functools.cache
def captured(name: str) -> tuple[Event, ...]:
    """Return the events of a recording, without the identities found when it was replayed."""
    header, frames = recording.read(HERE / f"{name}.rec")
    return tuple(replace(event, identity=None) for event in Replay(header).events(frames))


def played(run: Run, at_seconds: float = 0.0) -> Iterator[Labelled]:
    """Yield the events of a process that starts at a time of the scenario, 50 ms apart."""
    pid = 2000 + run.number
    start_ns = _START_NS + int(at_seconds * SECOND)
    process = Process(
        pid=pid,
        name=run.name,
        ppid=run.ppid,
        uid=run.uid,
        gid=run.uid,
        exe=run.exe,
        argv=run.argv,
        build_id=run.build_id,
        start_time=_CLOCK.time(start_ns),
        cgroup_id=str(7000 + run.number),
        **run.container,
    )
    events = list(captured(run.capture))
    if run.connects:
        opened = replace(
            events[0],
            id="connect",
            exchange_id=None,
            connection=Connection(id="c", src_ip="10.0.0.2", src_port=40_000 + run.number),
            action=Network(operation="connect", provider="openai", bytes_sent=0, bytes_received=0),
        )
        events.insert(0, opened)
    for place, event in enumerate(events):
        now_ns = start_ns + int(run.after * SECOND) + (place + 1) * SECOND // 20
        action = _said(run, event.action) if isinstance(event.action, Prompt) else event.action
        own = f"{run.label}-{pid}-{start_ns:x}-{run.capture}-{run.after}"
        yield (
            run.label,
            replace(
                event,
                id=f"{own}-{place}",
                time=_CLOCK.time(now_ns),
                process=process,
                session_id=f"{pid}-{start_ns:x}",
                exchange_id=event.exchange_id and f"{own}-{event.exchange_id}",
                action=action,
            ),
        )


def _said(run: Run, prompt: Prompt) -> Prompt:
    changed: dict[str, Any] = {}
    if run.system_prompt is not None:
        changed["system_prompt"] = run.system_prompt
    if run.model is not None:
        changed["model"] = run.model
    if run.tools is not None:
        changed["tools"] = run.tools
    if run.sdk_version is not None and prompt.sdk:
        changed["sdk"] = replace(prompt.sdk, version=run.sdk_version)
    if run.agent is not None:
        changed["agent"] = run.agent
    if run.agent_session is not None:
        changed["agent_session"] = run.agent_session
    if run.credential is not None:
        changed["credential"] = Credential(scheme="bearer", hash=run.credential)
    return replace(prompt, **changed)


def by_time(*played: Iterable[Labelled]) -> list[Labelled]:
    """Return events of several processes as they interleave."""
    return sorted((one for events in played for one in events), key=lambda one: one[1].time)


def together(runs: Sequence[Run], rounds: int = 2, every: float = 0.02) -> list[Labelled]:
    """Return what processes do that run at once, each of them again as a new process."""
    return by_time(
        *(
            played(replace(run, number=round * len(runs) + i), round * 100 + i * every)
            for round in range(rounds)
            for i, run in enumerate(runs)
        )
    )


def twelve_of_one_template() -> list[Labelled]:
    """One script, model, SDK and set of tools; the prompts differ in two words of ninety."""
    return together(
        [
            Run(
                label=role,
                capture="openai_tools",
                system_prompt=f"You are the {role} agent. {POLICY} The team of {role} thanks you.",
            )
            for role in ROLES
        ],
        rounds=3,
    )


def twelve_with_own_prompts() -> list[Labelled]:
    """One script and SDK, six models, each prompt its own."""
    return together(
        [
            Run(
                label=role,
                capture="openai_sync",
                model=MODELS[i % len(MODELS)],
                system_prompt=f"{role.title()} is what you do for Acme, and nothing else. "
                f"Whoever asks for {role} gets an answer within two sentences. Case {i}.",
            )
            for i, role in enumerate(ROLES)
        ],
        rounds=3,
    )


def twelve_with_short_prompts() -> list[Labelled]:
    """One script; the prompts are four words long and differ in a number."""
    return together(
        [
            Run(label=f"agent {i}", capture="openai_sync", system_prompt=f"You are agent {i}.")
            for i in range(12)
        ]
    )


def twelve_in_one_process() -> list[Labelled]:
    """A framework that runs all of them in one process, twice."""
    return by_time(
        *(
            played(
                Run(
                    label=role,
                    capture="openai_tools",
                    system_prompt=f"You are the {role} agent. {POLICY}",
                    number=round,
                    connects=False,
                ),
                # One process has one start: what each of them says comes later.
                round * 100.0,
            )
            for round in range(2)
            for role in ROLES
        )
    )


def twelve_with_one_prompt() -> list[Labelled]:
    """Twelve scripts; every one of them is a helpful assistant."""
    return together(
        [
            Run(
                label=role,
                capture="openai_tools",
                argv=("python3", f"/srv/{role}/main.py"),
                system_prompt="You are a helpful assistant.",
            )
            for role in ROLES
        ]
    )


def twelve_configurations() -> list[Labelled]:
    """One script without a system prompt, told by an option which agent it is."""
    return together(
        [
            Run(
                label=role,
                capture="openai_tools",
                argv=("python3", "-m", "agents.serve", "--config", f"/etc/agents/{role}.yaml"),
            )
            for role in ROLES
        ]
    )


def six_sets_of_tools() -> list[Labelled]:
    """One script without a system prompt; what tells the agents apart is their tools."""
    return together(
        [
            Run(
                label=role,
                capture="openai_tools",
                tools=tuple(f"{verb}_{role}" for verb in ("list", "find", "add", "drop")),
            )
            for role in ROLES[:6]
        ]
    )


def twenty_restarts() -> list[Labelled]:
    """One agent over 20 restarts: pids that come again, new versions, prompts with dates."""
    prompt = "You are the release agent of Acme. Today is {}. {} Versions in use: {}."
    return by_time(
        *(
            played(
                Run(
                    label="release",
                    capture="openai_tools",
                    exe=f"/usr/bin/python3.{11 + i // 10}",
                    argv=(
                        "python3",
                        f"/srv/release-{1 + i // 7}.{i}.0/run.py",
                        "--run",
                        f"{i:08x}",
                    ),
                    build_id=f"{i // 10:040x}",
                    number=i % 5,
                    system_prompt=prompt.format(f"2026-11-{i + 1:02}", POLICY, f"1.{i}.0"),
                    model="gpt-4o" if i < 12 else "gpt-5",
                    sdk_version=f"3.{i}.0",
                ),
                i * 3600.0,
            )
            for i in range(20)
        )
    )


def changing_contexts() -> list[Labelled]:
    """Four agents whose prompts, behind the opening, are what was found for each question."""
    pages = [f"Page {i}: {' '.join(ROLES[i % 12 :])} {POLICY[i * 20 :]}" for i in range(8)]
    opening = "You answer questions about {} with the pages below and nothing else. Cite them."
    return by_time(
        *(
            played(
                Run(
                    label=role,
                    capture="openai_stream",
                    number=i + 4 * n,
                    system_prompt=opening.format(role) + " ".join(pages[n::3]),
                ),
                n * 20.0 + i,
            )
            for n in range(6)
            for i, role in enumerate(ROLES[:4])
        )
    )


def embeddings_first() -> list[Labelled]:
    """Three scripts that embed a text before they ask, which has no prompt and another model."""
    runs = [
        Run(
            label=role,
            capture=capture,
            argv=("python3", f"/srv/{role}.py"),
            number=i,
            after=after,
            system_prompt=prompt,
        )
        for i, role in enumerate(ROLES[:3])
        for capture, after, prompt in (
            ("openai_embeddings", 0.0, None),
            ("openai_tools", 2.0, f"You work in {role}. {POLICY}"),
        )
    ]
    return by_time(*(played(run, round * 50.0) for round in range(3) for run in runs))


def with_a_helper() -> list[Labelled]:
    """Twelve scripts; each has a short second prompt without tools, for a title."""
    runs = [
        Run(
            label=role,
            capture=capture,
            argv=("python3", f"/srv/{role}.py"),
            number=i,
            after=after,
            system_prompt=prompt,
        )
        for i, role in enumerate(ROLES)
        for capture, after, prompt in (
            ("openai_tools", 0.0, f"You work in {role}. {POLICY}"),
            ("openai_sync", 3.0, "Give the conversation a title of at most four words."),
        )
    ]
    return by_time(*(played(run, round * 50.0) for round in range(3) for run in runs))


def with_a_long_helper() -> list[Labelled]:
    """As above, but what the helper shall do is told at length, and in each script otherwise."""
    return [(label, _at_length(label, event)) for label, event in with_a_helper()]


def _at_length(role: str, event: Event) -> Event:
    prompt = event.action
    if not isinstance(prompt, Prompt) or prompt.tools:
        return event
    text = f"Give a conversation on {role} a title of at most four words. {POLICY}"
    return replace(event, action=replace(prompt, system_prompt=text))


# One prompt in three wordings; the words of each column mean the same.
WORDINGS = (
    "assist customers who ask about parcels orders refunds invoices kindly quickly answering "
    "always truthfully never guessing escalate angry people hand cases onward keep notes briefly",
    "help clients that enquire regarding packages purchases reimbursements bills politely promptly "
    "replying constantly honestly not speculating forward furious persons pass matters along "
    "maintain records tersely",
    "support buyers which question concerning shipments acquisitions repayments statements "
    "courteously swiftly responding perpetually sincerely nowise surmising refer irate folks give "
    "issues further hold minutes concisely",
)


def reworded() -> list[Labelled]:
    """One script whose prompt is written anew with every release, in other words."""
    return by_time(
        *(
            played(
                Run(
                    label="support",
                    capture="openai_sync",
                    argv=("python3", "/srv/support.py"),
                    number=i,
                    system_prompt=WORDINGS[i // 4],
                ),
                i * 600.0,
            )
            for i in range(12)
        )
    )


def crew() -> list[Labelled]:
    """A framework with two agents in one process: one has tools, the other one writes it up."""
    said = (
        ("finds", "openai_tools", f"You find things out. {POLICY}", 0.0),
        ("writes", "openai_sync", f"You write up what others have found out. {POLICY}", 3.0),
    )
    runs = [
        Run(
            label=label,
            capture=capture,
            system_prompt=prompt,
            number=7,
            after=after,
            connects=not after,
        )
        for label, capture, prompt, after in said
    ]
    return by_time(*(played(run, round * 50.0) for round in range(3) for run in runs))


def helper_programs() -> list[Labelled]:
    """Four scripts, each of which lets curl ask a model with its credential; and a stray curl."""
    curl = Run(
        label="",
        capture="curl_openai",
        exe="/usr/bin/curl",
        argv=("curl", "https://api.openai.com/v1/chat/completions"),
        name="curl",
        build_id="c" * 40,
        connects=False,
        after=4.0,
    )
    runs = []
    for i, role in enumerate(ROLES[:4]):
        script = Run(
            label=role,
            capture="openai_tools",
            argv=("python3", f"/srv/{role}.py"),
            number=i,
            system_prompt=f"You work in {role}. {POLICY}",
            credential=f"{i:016x}",
        )
        runs.append(script)
        runs.append(
            replace(curl, label=role, number=100 + i, ppid=2000 + i, credential=script.credential)
        )
    runs.append(replace(curl, label="curl", number=200, credential="f" * 16))
    return by_time(*(played(run, round * 50.0) for round in range(3) for run in runs))


DIGEST = "sha256:" + "d" * 64


def in_pod(
    number: int, owner: str = "web", account: str = "web", tag: str = "1.2"
) -> dict[str, str]:
    """Return what is known of a process in a pod, which is another one for each number."""
    return {
        "container_id": f"{number:064x}",
        "container_runtime": "containerd",
        "container_name": "agent",
        "image": f"registry.example/acme/agent:{tag}@{DIGEST}",
        "pod": f"{owner}-7d4b9-{number}",
        "namespace": "shop",
        "service_account": account,
        "owner": f"Deployment/{owner}",
    }


def pod(label: str, number: int, **changed: Any) -> Run:
    """Return a run of an agent in a pod, where each image has its program at one path."""
    run = Run(
        label=label,
        capture="openai_tools",
        argv=("python3", "/app/main.py"),
        number=number,
        uid=0,
        system_prompt="You are a helpful assistant.",
        container=in_pod(number),
    )
    return replace(run, **changed)


def pods_of_a_deployment() -> list[Labelled]:
    """One agent in three pods."""
    return by_time(*(played(pod("web", i), i * 0.3) for i in range(3)))


def two_deployments() -> list[Labelled]:
    """One image in two deployments, which act as two service accounts."""
    return by_time(
        *(
            played(pod("web", i, container=in_pod(i, owner, account=owner)), i * 2.0)
            for i, owner in enumerate(("web", "batch") * 2)
        )
    )


def container_restarts() -> list[Labelled]:
    """One container that is made anew ten times, from a newer image in the end."""
    return by_time(
        *(
            played(pod("web", i, container=in_pod(i, tag=f"1.{i // 5}")), i * 100.0)
            for i in range(10)
        )
    )


def images_with_one_path() -> list[Labelled]:
    """Six images; in each there is /app/main.py, which is a helpful assistant, under Docker."""
    return by_time(
        *(
            played(
                pod(
                    role,
                    i + 6 * round,
                    container={"container_id": f"{i + 6 * round:064x}", "image": f"acme/{role}:1"},
                ),
                round * 100.0 + i * 0.4,
            )
            for round in range(2)
            for i, role in enumerate(ROLES[:6])
        )
    )


def claude(
    uid: int = 1000, home: str = "/home/ada", version: str = "2.1.197", **changed: Any
) -> Run:
    """Return a run of Claude Code as its own installer puts it there."""
    run = Run(
        label="claude-code",
        capture="anthropic_tools",
        exe=f"{home}/.local/share/claude/versions/{version}",
        argv=("claude",),
        name="claude",
        uid=uid,
        build_id=version.replace(".", "").ljust(40, "0"),
        agent=Sdk(name="claude-code", version=version),
        system_prompt="You are Claude Code, Anthropic's official CLI for Claude.",
    )
    return replace(run, **changed)


def two_users() -> list[Labelled]:
    """Two people run Claude Code, each their own installation, main agent and helpers."""
    helper = "You are a helper that writes a title for a conversation."
    return by_time(
        *(
            played(
                replace(
                    claude(1000 + i % 2, f"/home/{('ada', 'bob')[i % 2]}"),
                    number=i,
                    system_prompt=helper if i > 3 else None,
                    model="claude-haiku-4-5" if i > 3 else None,
                ),
                i * 7.0,
            )
            for i in range(6)
        )
    )


def spoofed() -> list[Labelled]:
    """Claude Code, and curl and a script that say they were it."""
    curl = Run(
        label="curl",
        capture="curl_anthropic",
        exe="/usr/bin/curl",
        argv=("curl", "-A", "claude-cli/2.1.197", "https://api.anthropic.com/v1/messages"),
        name="curl",
        build_id="c" * 40,
        agent=Sdk(name="claude-code", version="2.1.197"),
    )
    script = replace(
        curl,
        label="script",
        capture="anthropic_sync",
        exe="/usr/bin/python3.11",
        argv=("python3", "/home/eve/steal.py"),
        name="python3",
        build_id="b" * 40,
    )
    return together([claude(), curl, script], rounds=3, every=0.4)


def recorded_clients() -> list[Labelled]:
    """Every recorded client, three times, as it was recorded; a script is an agent."""
    runs = []
    for path in sorted(HERE.glob("*.rec")):
        process = captured(path.stem)[0].process
        script = next((word for word in process.argv if word.endswith((".py", ".mjs"))), "curl")
        runs.append(
            Run(
                label=script,
                capture=path.stem,
                exe=process.exe or "",
                argv=process.argv,
                name=process.name,
                connects=False,
            )
        )
    return together(runs, rounds=3, every=3.0)


def interleaved() -> list[Labelled]:
    """All of the above that run different scripts, at once."""
    scenarios = (twelve_of_one_template, twelve_with_one_prompt, twelve_configurations)
    others = (twenty_restarts, two_users, spoofed)
    return by_time(
        *(
            [(_whole_label(name, label), _elsewhere(event, i)) for label, event in scenario()]
            for i, (name, scenario) in enumerate(
                (scenario.__name__, scenario) for scenario in (*scenarios, *others)
            )
        )
    )


def _whole_label(name: str, label: str) -> str:
    # Whoever runs it, wherever it is: one agent.
    return label if label == "claude-code" else f"{name} {label}"


def _elsewhere(event: Event, number: int) -> Event:
    """Give a process and its exchanges ids of their own, in another range."""
    process = replace(event.process, pid=event.process.pid + 10_000 * (number + 1))
    exchange = event.exchange_id and f"{number}-{event.exchange_id}"
    session = f"{number}-{event.session_id}"
    id = f"{number}-{event.id}"
    return replace(event, id=id, process=process, exchange_id=exchange, session_id=session)


SCENARIOS: dict[str, Callable[[], list[Labelled]]] = {
    scenario.__name__: scenario
    for scenario in (
        twelve_of_one_template,
        twelve_with_own_prompts,
        twelve_with_short_prompts,
        twelve_in_one_process,
        twelve_with_one_prompt,
        twelve_configurations,
        six_sets_of_tools,
        twenty_restarts,
        changing_contexts,
        embeddings_first,
        two_users,
        spoofed,
        recorded_clients,
        with_a_helper,
        crew,
        helper_programs,
        pods_of_a_deployment,
        two_deployments,
        container_restarts,
        images_with_one_path,
        interleaved,
    )
}

# What the rules cannot tell from its opposite, and get wrong: two long prompts of one process are
# two agents of a framework, or an agent and its helper.
LIMITS: dict[str, Callable[[], list[Labelled]]] = {
    scenario.__name__: scenario for scenario in (with_a_long_helper, reworded)
}

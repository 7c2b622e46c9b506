"""Which programs are known for AI agents, and which that look like one are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.enrich.agents import Agent, Agents
from busted.enrich.agents_table import AGENTS

agents = Agents(AGENTS)

NPM = "/usr/lib/node_modules"


@pytest.mark.parametrize(
    ("path", "argv", "name"),
    [
        ("/home/u/.local/bin/claude", "claude -p hi", "claude-code"),
        ("/usr/bin/node", "node /usr/local/bin/claude", "claude-code"),
        ("/usr/bin/node", f"node {NPM}/@anthropic-ai/claude-code/cli.js", "claude-code"),
        ("/home/u/.local/share/claude/versions/2.1.197", "2.1.197", "claude-code"),
        ("/usr/bin/node", f"node --no-warnings {NPM}/@openai/codex/bin/x.js", "codex"),
        (f"{NPM}/@openai/codex/vendor/x86_64/codex", "codex exec", "codex"),
        ("/usr/bin/node", "node --max-old-space-size=4096 /usr/bin/gemini", "gemini-cli"),
        ("/venv/bin/python3.12", "python3.12 -m aider --yes", "aider"),
        ("/venv/bin/aider", "/venv/bin/python /venv/bin/aider", "aider"),
        ("/usr/bin/python3", "python3 -X utf8 /venv/bin/aider", "aider"),
        ("/usr/bin/bun", f"bun run {NPM}/opencode-ai/bin/opencode", "opencode"),
        ("/usr/share/cursor/cursor", "/usr/share/cursor/cursor .", "cursor"),
        ("/usr/bin/goose", "goose", "goose"),
        ("/usr/bin/goose", "goose session --resume", "goose"),
        ("/bin/sh", "sh /usr/local/bin/cursor-agent", "cursor"),
    ],
)
def test_agents_are_known_however_they_are_started(path: str, argv: str, name: str) -> None:
    assert agents.recognise(path, argv.split()) == name


@pytest.mark.parametrize(
    ("path", "argv"),
    [
        ("/usr/bin/vim", "vim /home/u/claude"),
        ("/usr/bin/grep", "grep -r claude /usr/bin/claude"),
        ("/usr/bin/npm", "npm install @anthropic-ai/claude-code"),
        ("/usr/bin/node", "node /usr/bin/npm install @openai/codex"),
        ("/usr/bin/node", "node /srv/claude-code/server.js"),
        ("/usr/bin/python3", "python3 /home/u/aider/setup.py"),
        ("/usr/bin/python3", "python3 -c claude"),
        ("/bin/bash", "bash -c claude"),
        ("/usr/bin/goose", "goose -dir migrations up"),
        ("/usr/bin/copilot", "copilot svc deploy"),
        ("/usr/bin/amp", "amp notes.txt"),
        ("/usr/bin/claude-desktop", "claude-desktop"),
        ("/opt/claude/bin/worker", "worker"),
        ("", ""),
    ],
)
def test_what_only_mentions_an_agent_is_none(path: str, argv: str) -> None:
    assert agents.recognise(path, argv.split()) is None


def test_a_row_that_comes_first_wins() -> None:
    mine = Agents((Agent("mine", executables=("claude",)), *AGENTS))

    assert mine.recognise("/bin/claude", ["claude"]) == "mine"
    assert mine.recognise("/bin/codex", ["codex"]) == "codex"


@pytest.mark.parametrize("row", AGENTS, ids=lambda row: row.name)
def test_every_row_is_found_by_each_of_its_executables_and_packages(row: Agent) -> None:
    first = row.arguments[:1]
    for executable in row.executables:
        assert agents.recognise(f"/usr/bin/{executable}", [executable, *first]) == row.name
    for package in row.packages:
        path = f"/usr/lib/node_modules/{package}/dist/main.js"
        assert agents.recognise("/usr/bin/node", ["node", path]) == row.name


def test_the_names_of_the_table_are_those_of_events() -> None:
    """Lower case, digits and hyphens: they are values to filter by."""
    assert all(set(row.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for row in AGENTS)
    assert len({row.name for row in AGENTS}) == len(AGENTS)


PARTS = st.sampled_from(
    ["claude", "node", "-m", "aider", "/", "@openai", "codex", "node_modules", "versions", "x", ""]
)
PATHS = st.lists(PARTS, max_size=6).map("/".join)


@given(PATHS | st.text(), st.lists(PATHS | PARTS | st.text(), max_size=20))
def test_no_agent_is_known_without_one_of_the_words_that_the_kernel_looks_for(
    path: str, argv: list[str]
) -> None:
    parts = {part for word in (path, *argv) for part in word.split("/")}

    if agents.recognise(path, argv) is not None:
        assert parts & agents.words


def test_the_names_are_those_of_all_rows() -> None:
    rows = (Agent("a", executables=("x", "y")), Agent("b", packages=("p",)), Agent("c"))

    assert Agents(rows).names == {"a", "b"}

"""What the tests ask the clients, and what must come of it."""

from __future__ import annotations

import json

from tests.e2e.answers import expected_answer, expected_arguments
from tests.e2e.bed import CLIENTS
from tests.requirements import require

# One to four UTF-8 bytes a character, and the characters that JSON and HTML escape.
PROMPT = "Grüße, \"世界\"\n🌍 \\ <tag> & 'quote'\t½"
# The tools that the clients with tools offer, in their order.
TOOLS = ("weather", "population")


def needs(client: str) -> None:
    """Skip a client whose runtime is not here."""
    if client.startswith("node"):
        require("node")
    if client.startswith("node") and client not in ("node_https", "node_fetch"):
        require("node packages")


def tool_results(prompt: str) -> list[str]:
    """Return what the clients' tools find when called with the arguments for a prompt."""
    place = json.loads(expected_arguments(prompt))["place"]
    return [f"{tool} of {place}: 42" for tool in TOOLS]


def asked_last(client: str, prompt: str) -> str:
    """Return what a client's last answer is the answer to."""
    return "\n".join(tool_results(prompt)) if CLIENTS[client].tools else prompt


def final_answer(client: str, prompt: str) -> str:
    """Return the last answer that a client gets for a prompt."""
    return expected_answer(asked_last(client, prompt))

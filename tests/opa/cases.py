"""Small policies and events, for each of which OPA and we must decide the same.

Each module is written for one way in which implementations of Rego differ: undefined values,
negation, conflicts, defaults, else, sets, numbers, text, time, and v0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.requirements import ROOT

PROMPT: dict[str, Any] = {
    "schema": 1,
    "id": "01",
    "time": "2026-11-23T10:30:00.123456789Z",
    "host": "host",
    "process": {"pid": 7, "name": "codex", "uid": 1000, "exe": "/usr/bin/codex", "agent": "codex"},
    "connection": {"id": "1", "sni": "api.openai.com", "dst_ip": "203.0.113.7", "dst_port": 443},
    "action": {
        "type": "Prompt",
        "api": "openai.chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": 'Grüße, "世界"\n🌍'}],
        "user_message": 'Grüße, "世界"\n🌍',
        "tools": ["weather", "shell"],
        "params": {"max_tokens": 1000, "temperature": 0.5},
        "pii": [{"kind": "email", "start": 0, "end": 5, "where": "user_message"}],
        "stream": False,
        "bytes": 469,
        "truncated": False,
    },
}


def _changed(action: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {**PROMPT, **other, "action": {**PROMPT["action"], **action}}


EVENTS: dict[str, dict[str, Any]] = {
    "prompt": PROMPT,
    "empty": {},
    "secret": _changed(
        {"pii": [{"kind": "openai_key", "start": 0, "end": 5, "where": "messages"}]}
    ),
    "large": _changed({"bytes": 5_000_000_000, "params": {"max_tokens": 100_000}, "pii": []}),
    "unknown": {
        "process": {"pid": 1, "name": "x"},
        "time": "2026-11-22T03:00:00Z",
        "action": {"type": "Prompt", "api": "other", "bytes": 0},
    },
    "mcp": {
        "time": "2026-06-01T23:59:59.999999999+02:00",
        "process": {"pid": 1, "name": "node", "uid": 0},
        "connection": {"id": "2", "sni": "tools.example.org"},
        "action": {
            "type": "McpRequest",
            "method": "tools/call",
            "tool": "shell",
            "params": '{"name":"shell","arguments":{"command":"ls -l"}}',
            "bytes": 40,
        },
    },
    "odd types": {
        "time": 5,
        "process": {"pid": -1.5, "uid": "0", "name": None},
        "action": {"type": ["Prompt"], "pii": {"kind": "email"}, "bytes": "9", "model": False},
    },
    "response": {
        "time": "2026-11-23T10:30:00Z",
        "process": {"pid": 7, "name": "codex", "uid": 1000},
        "action": {
            "type": "Response",
            "provider": "openai",
            "usage": {"input": 53, "output": 40000},
            "cost": 1.5,
            "bytes": 410,
        },
    },
    "spent": _changed({}, budget={"requests_hour": 7, "tokens_hour": 90_000, "cost_hour": 50.5}),
    "loop": {
        "process": {"pid": 7, "name": "codex", "uid": 1000},
        "action": {"type": "LoopDetected", "tool": "shell", "where": "McpRequest", "count": 6},
    },
}

_V1 = {
    "guarded": """default decision := "allow"
decision := "deny" if count(bad) > 0
bad contains "a large prompt" if {
	input.action.type == "Prompt"
	input.action.bytes > 1000
}
bad contains "a call" if {
	input.action.type == "McpRequest"
	input.action.method == "tools/call"
	startswith(input.action.tool, "sh")
}
bad contains input.action.tool if {
	"LoopDetected" == input["action"].type
	1 / (input.action.count - 6) > 0
}""",
    "guarded decisions": """decision := "deny" if input.action.provider == "openai"
decision := "audit" if input.action.type == "Response"
decision := "allow" if input.action.type == "McpRequest"
""",
    "guarded elsewhere": """default decision := "allow"
decision := "deny" if bad with input as {"action": {"type": "x"}}
bad if input.action.type == "y"
bad if input.action.type == "x"
""",
    "no default": 'decision := "deny" if input.action.type == "Prompt"',
    "default": 'default decision := "audit"\ndecision := "deny" if input.action.bytes > 1000',
    "else": """decision := "deny" if {
	input.action.bytes > 1000
} else := "audit" if {
	input.action.provider
} else := "allow" """,
    "conflict": """decision := "deny" if input.action.type == "Prompt"
decision := "audit" if input.action.bytes > 1000""",
    "same value twice": """decision := "deny" if input.action.type == "Prompt"
decision := "deny" if input.action.bytes > 1000""",
    "function conflict": """kind(x) := "deny" if x.action.type == "Prompt"
kind(x) := "audit" if x.action.bytes > 1000
decision := kind(input)""",
    "not equal": 'decision := "deny" if not input.action.provider == "openai"',
    "not unequal": 'decision := "deny" if not input.action.provider != "openai"',
    "not a member": 'decision := "deny" if not input.action.provider in {"openai", "groq"}',
    "not a prefix": """default decision := "allow"
decision := "deny" if {
	input.action
	not startswith(input.action.model, "gpt-")
}""",
    "not a function": """good(x) if x in data.good
decision := "deny" if not good(input.action.provider)""",
    "not a rule": """good if input.action.provider in data.good
decision := "deny" if not good""",
    "not of nested calls": """decision := "deny" if not contains(lower(input.action.model), "4o")
else := "audit" """,
    "not in a comprehension": """odd := [t | some t in input.action.tools; not t in input.allowed]
decision := "deny" if count(odd) > 0""",
    "not without braces": """decision := "audit" if not input.action.bytes > 500 # of them
# and more
default decision := "deny" """,
    "missing data": """default decision := "allow"
decision := "deny" if not input.action.provider in data.nothing.here""",
    "missing data's rule": """default decision := "allow"
decision := "deny" if not data.nothing.here[input.action.provider]""",
    "unequal to nothing": 'decision := "deny" if input.action.model != "gpt-4o"',
    "some": 'decision := "deny" if { some p in input.action.pii; p.kind == "openai_key" }',
    "some with keys": """decision := "deny" if {
	some name, value in input.action.params
	name == "max_tokens"
	value >= 1000
}""",
    "every": 'decision := "deny" if { every p in input.action.pii { p.kind == "email" } }',
    "every of nothing": 'decision := "deny" if { every p in [] { p } }',
    "old iteration": 'decision := "deny" if input.action.messages[_].role == "user"',
    "count": 'decision := "deny" if count(input.action.pii) > 0',
    "set": """kinds contains p.kind if some p in input.action.pii
decision := "deny" if kinds & {"openai_key"} != set()
decision := "audit" if kinds == {"email"}""",
    "object": """found[p.kind] := p.where if some p in input.action.pii
decision := "deny" if found.email == "user_message" """,
    "object conflict": """found[t] := p if { some t in input.action.tools; some p in [1, 2] }
decision := "deny" if found""",
    "comprehension": """wheres := {p.where | some p in input.action.pii}
decision := "deny" if "messages" in wheres
else := "audit" if count(wheres) == 1""",
    "wrong type": "decision := input.action.bytes",
    "unknown text": "decision := input.action.type",
    "several outputs": 'decision := ["deny", "audit"][_] if input.action',
    "text": """decision := "deny" if regex.match(`(?i)grüße.*世界`, input.action.user_message)
decision := "deny" if contains(input.action.params, "ls -l")""",
    "patterns": r"""decision := "deny" if regex.match(`^\w{3}\W`, input.action.user_message)
else := "audit" if regex.match("^Gr\\b[^\\w ]", input.action.user_message)
else := "deny" if regex.split(`[\s\d]+`, "a 1\u00a0b") == ["a", "\u00a0b"]""",
    "text functions": """decision := "deny" if {
	upper(substring(input.action.user_message, 0, 3)) == "GRÜ"
	indexof(input.action.user_message, "世") == 8
	count("é世") == 2
	split(input.connection.sni, ".")[1] == "openai"
	trim_prefix(input.action.api, "openai.") == "chat"
	replace(input.action.model, "-", "_") == "gpt_4o_mini"
	sprintf("%s %d", [input.action.model, input.action.bytes]) == "gpt-4o-mini 469"
}""",
    "glob": """decision := "deny" if glob.match("*.openai.com", null, input.connection.sni)
else := "audit" if glob.match("*.example.*", ["."], input.connection.sni)""",
    "numbers": """decision := "deny" if {
	input.action.params.temperature * 2 == 1
	input.action.bytes % 2 == 1
	round(input.action.params.temperature) == 1
	abs(-1) == 1.0
}""",
    "numbers as text": 'decision := "deny" if to_number(input.action.bytes) > 8',
    "sums": 'decision := "deny" if sum([n | n := input.action.usage[_]]) > 40000',
    "dividing": 'decision := "deny" if 1 / input.action.bytes < 1',
    "order of types": 'decision := "deny" if input.action.bytes < input.action.type',
    "time": """decision := "deny" if {
	ns := time.parse_rfc3339_ns(input.time)
	time.weekday([ns, "Europe/Zurich"]) == "Monday"
	time.clock([ns, "Europe/Zurich"]) == [11, 30, 0]
} else := "audit" if {
	time.date(time.parse_rfc3339_ns(input.time)) == [2026, 6, 1]
}""",
    "addresses": """ip := input.connection.dst_ip
decision := "deny" if net.cidr_contains("203.0.113.0/24", ip)""",
    "json": """call := json.unmarshal(input.action.params)
decision := "deny" if call.arguments.command == "ls -l" """,
    "walk": """decision := "deny" if {
	walk(input, [path, value])
	value == "openai_key"
	count(path) == 4
}""",
    "object functions": """decision := "deny" if {
	object.get(input, ["action", "provider"], "none") == "none"
} else := "audit" if {
	object.keys(input.process) == {"pid", "name", "uid", "exe", "agent"}
}""",
    "booleans": """decision := "deny" if input.action.stream == false
decision := "audit" if input.action.model == false""",
    "with": """base if input.action.provider == "groq"
decision := "deny" if base with input.action.provider as "groq" """,
    "helpers": """import data.lib.names
decision := "deny" if names.known(input.action.provider)
else := "audit" if names.all[input.action.type]""",
    "unused failure": """wrong := to_number("x")
decision := "deny" if input.action.provider""",
    "failing beside": """decision := "deny" if input.action.provider
decision := "deny" if to_number("x") == 1""",
    "member of an object": 'decision := "deny" if 1000 in input.action.params',
    "null": 'decision := "deny" if input.process.name == null',
    "deep rule": 'limits.bytes := 400\ndecision := "deny" if input.action.bytes > limits.bytes',
}

_V0 = {
    "v0": """default decision = "allow"
decision = "deny" { input.action.provider == "openai"; not exempt }
exempt { input.process.uid == 0 }""",
    "v0 set": """deny[reason] { input.action.pii[_].kind == "openai_key"; reason := "key" }
decision = "deny" { count(deny) > 0 }
decision = "audit" { count(deny) == 0; input.action.pii[_] }""",
    "v0 with imports": """import future.keywords.if
import future.keywords.in
decision := "deny" if input.action.provider in ["openai"]""",
    "v0 import rego.v1": """import rego.v1
decision := "deny" if "shell" in input.action.tools""",
    "v0 else": """decision = "deny" { input.action.bytes > 1000 }
else = "audit" { input.action }""",
    "v0 negation": """decision = "deny" { not startswith(input.action.model, "gpt-") }
else = "audit" { true }""",
}

LIBRARY = """package lib.names

known(name) if name in {"openai"}

all := {"McpRequest": true, "Response": true}
"""
DATA = {"good": ["openai", "anthropic"]}


def modules() -> dict[str, tuple[str, str]]:
    """Return what decides: the text by name, and its package."""
    small = {n: (f"package busted\n\n{t}\n", "busted") for n, t in {**_V1, **_V0}.items()}
    shipped = {}
    for file in sorted((ROOT / "policies").glob("*/*.rego")):
        if not file.name.endswith("_test.rego"):
            package = "busted" if file.stem == "default" else f"busted.{file.stem}"
            shipped[file.name] = (file.read_text(), package)
    return {**small, **shipped}


def data() -> dict[str, Any]:
    """Return the data that all of them are given: that of the shipped ones, and a little more."""
    merged = dict(DATA)
    for file in sorted((ROOT / "policies").glob("*/data.json")):
        merged.update(json.loads(file.read_text()))
    return merged


def is_v0(name: str) -> bool:
    """Return whether OPA must be told that a module is v0."""
    return name in _V0


# Where we tell an error, and so decide as the operator says of errors, though OPA answers: it
# takes the first definition that says `deny` and leaves the others, and iterates over nothing in
# what is no collection.
STRICTER = {
    *(("failing beside", event) for event in ("prompt", "secret", "large", "spent", "response")),
    ("some with keys", "mcp"),
}

RECORDED = Path(__file__).parent / "decisions.json"

"""All settings of `busted monitor`, by the tables of the configuration file that they stand in.

A row is a setting; nothing else has to be written for it but what obeys it. The bounds and defaults
stand where they have their reasons, beside the code that works with them.
"""

from __future__ import annotations

from typing import get_args

from busted.agent.config import (
    MAX_CALL_BYTES,
    MAX_DURATION_SECONDS,
    MAX_FILE_BYTES,
    MAX_PID,
    MAX_RING_BYTES,
    MIN_CALL_BYTES,
    MIN_RING_BYTES,
    Settings,
    Stdio,
)
from busted.agent.enforcement import MAX_VERDICT_SECONDS, VERDICT_SECONDS, OnDeny
from busted.agent.flows import Network
from busted.agent.hold import (
    MAX_HOLD_BYTES,
    MAX_HOLD_SECONDS,
    MIN_HOLD_BYTES,
    MIN_HOLD_SECONDS,
    Terms,
)
from busted.agent.local_socket import MAX_REVEALED
from busted.agent.loops import MAX_CALLS, MAX_SECONDS, MIN_CALLS, LoopTerms
from busted.agent.settings import (
    Address,
    FilePath,
    Flag,
    HostName,
    OneOf,
    Seconds,
    Setting,
    Text,
    Whole,
)
from busted.events import Decision

# The tables of settings, and what each is about; in the order in which they are told.
SECTIONS = {
    "monitor": "What is watched, and what is shown of it.",
    "network": "Connections.",
    "ml": "What connections behave like (docs/behaviour.md); not with --network none.",
    "files": "Files that agents use.",
    "identity": "Which agent is which (docs/identities.md).",
    "loops": "Agents that call the same tool again and again (docs/events.md, LoopDetected).",
    "kubernetes": "The pods of this node (docs/enrichment.md).",
    "policy": "What judges events (docs/policies.md).",
    "enforce": "What is done about what policy denies (docs/enforcement.md).",
    "hold": "Requests that wait for their decision; where something is enforced (docs/hold.md).",
    "api": "Asking the monitor, over its socket (docs/api.md).",
    "metrics": "Figures for Prometheus (docs/metrics.md).",
}

_D = Settings()
_T = Terms()
_L = LoopTerms()

SETTINGS = (
    Setting(
        "monitor.format",
        "--format",
        OneOf(words=("text", "verbose", "json")),
        "text",
        "A few lines an event, all there is, or one JSON object a line.",
    ),
    Setting(
        "monitor.content",
        "--content",
        OneOf(words=("none", "redacted", "full")),
        "redacted",
        "What to show of what was said: nothing, all but personal data and secrets, or all.",
    ),
    Setting(
        "monitor.output",
        "--output",
        Text(metavar="KIND:TARGET"),
        (),
        "Where events go, docs/outputs.md; repeatable.",
        unset="stdout",
        many=True,
    ),
    Setting(
        "monitor.duration",
        "--duration",
        Seconds(least=0, most=MAX_DURATION_SECONDS, included=False),
        None,
        "Stop after so many seconds.",
        unset="until told to stop",
    ),
    Setting(
        "monitor.pid",
        "--pid",
        Whole(least=1, most=MAX_PID),
        (),
        "Only this process; repeatable.",
        unset="all",
        many=True,
    ),
    Setting(
        "monitor.comm",
        "--comm",
        Text(metavar="NAME"),
        (),
        "Only processes of this name; repeatable.",
        unset="all",
        many=True,
    ),
    Setting(
        "monitor.record",
        "--record",
        FilePath(),
        None,
        "Also write what the kernel says to a new file, for `busted replay`. It holds everything "
        "in plain text, whatever --content says; only its owner can read it.",
    ),
    Setting(
        "monitor.buffer",
        "--buffer",
        OneOf(words=("ring", "perf")),
        None,
        "Through what the kernel hands over records: a ring buffer (Linux 5.8) or perf buffers, "
        "one a CPU.",
        unset="ring where the kernel has it",
    ),
    Setting(
        "monitor.ring_bytes",
        "--ring-bytes",
        Whole(least=MIN_RING_BYTES, most=MAX_RING_BYTES, power_of_two=True),
        _D.ring_bytes,
        "Size of the buffer between the kernel and the monitor, a power of two; of perf buffers, "
        "together.",
    ),
    Setting(
        "monitor.max_call_bytes",
        "--max-call-bytes",
        Whole(least=MIN_CALL_BYTES, most=MAX_CALL_BYTES),
        _D.max_call_bytes,
        "What is read of one write or read of the TLS library; more is told as truncated.",
    ),
    Setting(
        "monitor.lockdown",
        "--lockdown",
        Flag(),
        True,
        "Give up privileges once it watches; without, to debug the monitor itself, it keeps all.",
    ),
    Setting(
        "network.connections",
        "--network",
        OneOf(words=get_args(Network)),
        _D.network,
        "Which connections are told: all, those of AI agents and to AI providers, or none.",
    ),
    Setting(
        "network.plain",
        "--plain",
        Flag(),
        _D.plain,
        "Read also what is said without TLS: requests to local models, and MCP over HTTP.",
    ),
    Setting(
        "network.stdio",
        "--stdio",
        OneOf(words=get_args(Stdio)),
        _D.stdio,
        "Whose standard input and output are read for MCP: those that agents, programs that speak "
        "to models and MCP servers have, those of all programs, or none.",
    ),
    Setting(
        "ml.enabled",
        "--ml",
        Flag(),
        _D.behaviour.is_wanted,
        "Tell what connections behave like, and of those to hosts nobody named that look like an "
        "LLM's.",
    ),
    Setting(
        "ml.model",
        "--ml-model",
        FilePath(),
        None,
        "Use this model of `busted ml train`.",
        unset="the one that comes with Busted",
    ),
    Setting(
        "ml.calibration",
        "--ml-calibration",
        FilePath(),
        None,
        "Keep in this file what connections that could be read taught about the model, for the "
        "next run; without the file, it is learned anew.",
    ),
    Setting(
        "files.monitor",
        "--file-monitor",
        OneOf(words=("none", "sensitive", "all"), bare="all", metavar="[MODE]"),
        "none",
        "Also tell which files agents use, and who touches sensitive ones; with `sensitive`, "
        "sensitive files only. It costs every system call of the host a little.",
    ),
    Setting(
        "files.max_bytes",
        "--max-file-bytes",
        Whole(least=0, most=MAX_FILE_BYTES),
        _D.max_file_bytes,
        "What is told of the content of one open file, with --file-monitor; 0 for nothing.",
    ),
    Setting(
        "identity.store",
        "--identity-store",
        FilePath(),
        None,
        "Keep the identities of agents in this file, for the next run and `busted identities`. It "
        "holds no content; only its owner can read it.",
    ),
    Setting(
        "loops.count",
        "--loop-count",
        Whole(least=MIN_CALLS, most=MAX_CALLS),
        _L.calls,
        "How many calls of one tool with the same arguments are a loop.",
    ),
    Setting(
        "loops.seconds",
        "--loop-seconds",
        Seconds(least=0, most=MAX_SECONDS, included=False),
        _L.seconds,
        "Within how many seconds.",
    ),
    Setting(
        "kubernetes.enabled",
        "--kubernetes",
        OneOf(words=("auto", "on", "off")),
        _D.kubernetes.enabled,
        "Ask the API server for the pods of this node; `auto`: where a service account is mounted, "
        "or a kubeconfig is given.",
    ),
    Setting(
        "kubernetes.node",
        "--kubernetes-node",
        Text(metavar="NAME"),
        None,
        "The name of this node.",
        unset="what NODE_NAME says, else the host's name",
    ),
    Setting(
        "kubernetes.labels",
        "--kubernetes-label",
        Text(metavar="NAME"),
        (),
        "Tell this label of pods, whatever it holds; repeatable.",
        many=True,
    ),
    Setting(
        "kubernetes.kubeconfig",
        "--kubeconfig",
        FilePath(),
        None,
        "How to reach the API server.",
        unset="the service account of the pod that it runs in",
    ),
    Setting(
        "policy.directory",
        "--policy",
        FilePath(metavar="DIRECTORY"),
        None,
        "Ask this policy about every event: a directory of Rego, or one file.",
    ),
    Setting(
        "policy.on_error",
        "--on-error",
        OneOf(words=get_args(Decision)),
        None,
        "What is decided where policy has no answer.",
        unset="audit; deny where something is enforced",
    ),
    Setting(
        "policy.audit_log",
        "--audit-log",
        FilePath(),
        None,
        "Also append every decision to this file, each line tied to the one before, for `busted "
        "audit verify`; needs --policy or --reveal.",
    ),
    Setting(
        "enforce.enabled",
        "--enforce",
        Flag(),
        False,
        "Stop what the policy denies, see docs/enforcement.md; needs --policy. What policy cannot "
        "be asked about is then denied, unless --on-error says otherwise.",
    ),
    Setting(
        "enforce.shadow",
        "--shadow",
        Flag(),
        False,
        "Tell what --enforce would do, and touch nothing; needs --policy.",
    ),
    Setting(
        "enforce.on_deny",
        "--on-deny",
        OneOf(words=get_args(OnDeny)),
        _D.on_deny,
        "What to do when what was denied has been sent: destroy its connection, or kill its "
        "process.",
    ),
    Setting(
        "enforce.verdict_seconds",
        "--verdict-seconds",
        Seconds(least=0, most=MAX_VERDICT_SECONDS, included=False),
        VERDICT_SECONDS,
        "How long the kernel refuses connections to a place that was denied, after the last "
        "denial.",
    ),
    Setting(
        "enforce.deny_link_local",
        "--deny-link-local",
        Flag(),
        _D.deny_link_local,
        "Let connections to addresses of the link (169.254.0.0/16, fe80::/10) be refused, too.",
    ),
    Setting(
        "hold.enabled",
        "--hold",
        Flag(),
        True,
        "Have requests wait for their decision; without it what is denied is stopped after it was "
        "sent.",
    ),
    Setting(
        "hold.hosts",
        "--hold-host",
        HostName(),
        (),
        "Have connections to this host wait from their first byte on, as those to providers do; "
        "repeatable.",
        many=True,
    ),
    Setting(
        "hold.seconds",
        "--hold-seconds",
        Seconds(least=MIN_HOLD_SECONDS, most=MAX_HOLD_SECONDS),
        _T.seconds,
        "How long a request may wait for its decision, and for its own end, before it is given up.",
    ),
    Setting(
        "hold.bytes",
        "--hold-bytes",
        Whole(least=MIN_HOLD_BYTES, most=MAX_HOLD_BYTES, metavar="BYTES"),
        _T.bytes,
        "How much of one request may wait.",
    ),
    Setting(
        "hold.timeout_action",
        "--hold-timeout-action",
        OneOf(words=("open", "closed")),
        "closed",
        "What becomes of a request that is longer, takes longer, or was not seen whole: it is "
        "sent undecided, or its connection is ended.",
    ),
    Setting(
        "api.socket",
        "--socket",
        Text(metavar="PATH[?uids=...&gids=...]"),
        None,
        "Listen there for `busted tail`, `status`, `identities`, `serve` and others, by root, by "
        "the user that this runs as, and by those named.",
    ),
    Setting(
        "api.reveal",
        "--reveal",
        Whole(least=0, most=MAX_REVEALED, metavar="EVENTS"),
        0,
        "Keep so many of the newest events as they were said, in memory only, so that `busted ui` "
        "can show what was redacted of one; each time is written to the audit log before.",
    ),
    Setting(
        "metrics.listen",
        "--metrics",
        Address(),
        None,
        "Serve figures for Prometheus there; on another address than loopback with a token.",
    ),
    Setting(
        "metrics.token_file",
        "--metrics-token-file",
        FilePath(),
        None,
        "Whoever asks for the figures must send what this file holds, as a bearer token.",
    ),
    Setting(
        "metrics.bpf_stats",
        "--bpf-stats",
        Flag(),
        _D.bpf_stats,
        "Have the kernel count how often eBPF programs run and how long, for --metrics and "
        "`busted status`; it costs every run of a program some 20 ns.",
    ),
)

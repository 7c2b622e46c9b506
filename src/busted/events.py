"""What Busted reports: one immutable `Event` per thing an agent did.

This module is the contract between the agent and everything that reads its output
(sinks, policies, dashboard), so it imports nothing of ours. An event's JSON is the public
format and the policy input: fields are added with defaults, never renamed or retyped, and
docs/events.md describes each one or a test fails.

Conventions: absent optionals are omitted; a field without a default is always there.
Identifiers are strings, since 64-bit numbers break JavaScript and jq. Times are RFC 3339,
UTC, nanoseconds; durations are seconds. Sizes are bytes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = 1


class Value(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Common options of all parts of an event.

    Subclasses repeat `frozen=True` (mypy asks for it) and `kw_only=True` (it is not inherited).
    """


class Process(Value, frozen=True, kw_only=True):
    """Who did it, and in which container and pod; `container_id` is that of the innermost one.

    `pid_in_namespace` is the pid as the process itself sees it, where that is not the host's.
    """

    pid: int
    name: str
    tid: int | None = None
    pid_in_namespace: int | None = None
    ppid: int | None = None
    uid: int | None = None
    gid: int | None = None
    exe: str | None = None
    argv: tuple[str, ...] = ()
    build_id: str | None = None
    start_time: str | None = None
    cgroup_id: str | None = None
    agent: str | None = None
    user: str | None = None
    container_id: str | None = None
    container_runtime: str | None = None
    container_name: str | None = None
    image: str | None = None
    pod: str | None = None
    namespace: str | None = None
    service_account: str | None = None
    owner: str | None = None
    labels: dict[str, str] = {}


class Peer(Value, frozen=True, kw_only=True):
    """The process at the other end: an MCP server that this one started."""

    pid: int
    name: str
    start_time: str | None = None
    argv: tuple[str, ...] = ()


class Connection(Value, frozen=True, kw_only=True):
    """Over which connection; `id` is unique on this host until it restarts.

    `src_*` is the end of the process, `dst_*` the other one, whoever opened it. Bytes are those
    of the socket so far, encrypted and all. A connection of standard I/O is a pipe or the like,
    with a process of this host at its other end, the `peer`.
    """

    id: str
    socket: str | None = None
    transport: str = "tcp"
    src_ip: str | None = None
    src_port: int | None = None
    dst_ip: str | None = None
    dst_port: int | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None
    sni: str | None = None
    source: Literal["tls", "plain", "stdio"] = "tls"
    tls_library: str | None = None
    http_version: str | None = None
    stream_id: int | None = None
    peer: Peer | None = None


class Sdk(Value, frozen=True, kw_only=True):
    """A client library or an agent that its own headers name."""

    name: str
    version: str | None = None


class Credential(Value, frozen=True, kw_only=True):
    """Which credential a request carried: how, and a keyed hash of it, never itself."""

    scheme: str
    hash: str


class Finding(Value, frozen=True, kw_only=True):
    """Something personal or secret; `start` and `end` count in the text of `where`.

    `sample` is masked. `hash` is keyed: the same value has the same, and nobody can look it up.
    """

    kind: str
    category: str = ""
    confidence: float = 1.0
    start: int
    end: int
    where: str = ""
    sample: str = ""
    hash: str | None = None
    encoding: Literal["base64", "url", "json"] | None = None


class Usage(Value, frozen=True, kw_only=True):
    """Tokens as the provider counted them.

    `cached` and `cache_written` are the parts of `input` read from a cache and stored in it.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cache_written: int | None = None


class ChatMessage(Value, frozen=True, kw_only=True):
    """One turn of a conversation; parts that are not text are described, not dumped."""

    role: str
    content: str = ""


class Prompt(Value, frozen=True, kw_only=True, tag=True):
    """A request to a model."""

    api: str
    provider: str | None = None
    endpoint: str | None = None
    operation: str | None = None
    model: str | None = None
    messages: tuple[ChatMessage, ...] = ()
    system_prompt: str | None = None
    user_message: str | None = None
    tools: tuple[str, ...] = ()
    stream: bool
    params: dict[str, bool | int | float | str] = {}
    sdk: Sdk | None = None
    agent: Sdk | None = None
    agent_session: str | None = None
    api_version: str | None = None
    betas: tuple[str, ...] = ()
    credential: Credential | None = None
    fingerprint: str | None = None
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool
    missing_bytes: int = 0


class Response(Value, frozen=True, kw_only=True, tag=True):
    """What the model answered, assembled when it came in pieces.

    `latency` runs from the end of the request to the end of the answer, and
    `time_to_first_token` to the first piece of text or tool call; both in seconds.
    """

    api: str
    provider: str | None = None
    model: str | None = None
    status: int
    text: str | None = None
    reasoning: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    latency: float | None = None
    time_to_first_token: float | None = None
    stream: bool
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool
    missing_bytes: int = 0


class ToolCall(Value, frozen=True, kw_only=True, tag=True):
    """The model asked for a tool to be run; `arguments` is the text it sent, mostly JSON.

    The client runs it, or the provider itself if `server_side`.
    """

    name: str
    id: str | None = None
    arguments: str | None = None
    provider: str | None = None
    server_side: bool = False
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    truncated: bool


class ToolResult(Value, frozen=True, kw_only=True, tag=True):
    """The model was given what a tool returned: by the client, or `server_side` by its provider."""

    id: str | None = None
    name: str | None = None
    content: str | None = None
    provider: str | None = None
    is_error: bool = False
    server_side: bool = False
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    truncated: bool


class McpImplementation(Value, frozen=True, kw_only=True):
    """A client or server of MCP, as it names itself."""

    name: str
    version: str | None = None


class McpTool(Value, frozen=True, kw_only=True):
    """A tool that a server offers; `hash` is of its name, description and schemas."""

    name: str
    hash: str
    changed: bool = False


class McpRequest(Value, frozen=True, kw_only=True, tag=True):
    """A Model Context Protocol request or notification, of either side."""

    method: str
    category: str
    kind: Literal["request", "notification"]
    sender: Literal["client", "server"] = "client"
    id: str | None = None
    tool: str | None = None
    params: str | None = None
    revision: str | None = None
    session: str | None = None
    client: McpImplementation | None = None
    mismatch: tuple[str, ...] = ()
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool


class McpResponse(Value, frozen=True, kw_only=True, tag=True):
    """The answer to an MCP request; `method` is that of its request, when it was seen."""

    method: str | None = None
    category: str | None = None
    sender: Literal["client", "server"] = "server"
    id: str | None = None
    result: str | None = None
    error: str | None = None
    error_code: int | None = None
    error_name: str | None = None
    revision: str | None = None
    session: str | None = None
    server: McpImplementation | None = None
    tools: tuple[McpTool, ...] = ()
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool


class A2aAgent(Value, frozen=True, kw_only=True):
    """An agent of A2A, as its card says; `url` is where it takes messages."""

    name: str
    version: str | None = None
    url: str | None = None


class A2aRequest(Value, frozen=True, kw_only=True, tag=True):
    """An agent asks another one by Agent2Agent; `method` is what v1 calls it.

    `agent` is who is asked, where its card was seen. `text` is the message, with what is not text
    described.
    """

    method: str
    binding: Literal["jsonrpc", "rest"]
    revision: str | None = None
    id: str | None = None
    task_id: str | None = None
    context_id: str | None = None
    agent: A2aAgent | None = None
    role: str | None = None
    text: str | None = None
    stream: bool = False
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool
    missing_bytes: int = 0


class A2aResponse(Value, frozen=True, kw_only=True, tag=True):
    """What the other agent answered, assembled when it came in pieces.

    `agent` is who answers; `latency` runs from the end of the request, in seconds.
    """

    method: str
    binding: Literal["jsonrpc", "rest"]
    revision: str | None = None
    id: str | None = None
    task_id: str | None = None
    context_id: str | None = None
    agent: A2aAgent | None = None
    status: int
    state: str | None = None
    role: str | None = None
    text: str | None = None
    error: str | None = None
    error_code: int | None = None
    latency: float | None = None
    stream: bool
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool
    missing_bytes: int = 0


class PiiDetected(Value, frozen=True, kw_only=True, tag=True):
    """Personal data or secrets crossed the connection, in an exchange or by themselves.

    `direction` is "write" if any of it left the process; `written` counts what did, by kind.
    `where` is the first of the `actions` that carry it.
    """

    direction: Literal["write", "read"]
    kinds: tuple[str, ...]
    categories: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    written: dict[str, int] = {}
    where: str
    actions: tuple[str, ...] = ()
    count: int


class CanaryDetected(Value, frozen=True, kw_only=True, tag=True):
    """A value that the operator planted is about to leave; `name` is the operator's for it."""

    name: str
    direction: Literal["write", "read"]
    spelling: Literal["plain", "base64", "hex", "url", "json"]
    where: str
    field: str


class LoopDetected(Value, frozen=True, kw_only=True, tag=True):
    """The same tool was called with the same arguments again and again by one agent.

    `where` is the action that is the last of the `count` calls; `since` is when the first was.
    """

    tool: str
    where: Literal["ToolCall", "McpRequest"]
    count: int
    since: str


class Network(Value, frozen=True, kw_only=True, tag=True):
    """A connection was opened, by its process or to it, closed, or told to be still there.

    Bytes are payload so far, `retransmits` segments sent again. `duration` runs from when the
    connection was asked for, in seconds. `novel`: it behaves like that of an LLM's client, and
    nobody named its host.
    """

    operation: Literal["connect", "accept", "close", "update", "novel"]
    error: str | None = None
    provider: str | None = None
    name: str | None = None
    name_source: Literal["sni", "client_hello", "dns"] | None = None
    bytes_sent: int
    bytes_received: int
    retransmits: int = 0
    duration: float | None = None
    attribution: Literal["opener", "listener", "holder"] | None = None
    joined_late: bool = False


class ProcessExec(Value, frozen=True, kw_only=True, tag=True):
    """A process of an AI agent runs another program from now on; `exe` is the path it asked for.

    `agent` is the nearest agent above it, `parents` the names of the processes up to that.
    """

    exe: str
    argv: tuple[str, ...] = ()
    agent: str
    agent_pid: int
    parents: tuple[str, ...] = ()
    truncated: bool


class FileAccess(Value, frozen=True, kw_only=True, tag=True):
    """A process opened, closed, renamed or unlinked a file, or tried to."""

    path: str
    operation: Literal["open", "close", "rename", "unlink"]
    new_path: str | None = None
    mode: Literal["read", "write", "read_write"] | None = None
    flags: tuple[str, ...] = ()
    category: str | None = None
    error: int | None = None
    bytes_read: int = 0
    bytes_written: int = 0
    truncated: bool


class FileData(Value, frozen=True, kw_only=True, tag=True):
    """What a process read from a file or wrote to it, told when it closed the file."""

    path: str
    direction: Literal["read", "write"]
    offset: int
    content: str | None = None
    category: str | None = None
    pii: tuple[Finding, ...] = ()
    unscanned_bytes: int = 0
    bytes: int
    truncated: bool


class Library(Value, frozen=True, kw_only=True):
    """A hooked TLS library: a file, and how many running processes had it when it was hooked."""

    path: str
    kind: str
    processes: int


class Held(Value, frozen=True, kw_only=True):
    """Requests that waited for their decision before any of them left, since the start.

    `median_milliseconds` is how long those that were allowed waited, from their first byte on, of
    the last thousand.
    """

    allowed: int
    denied: int
    median_milliseconds: float | None = None


class ConnectionCoverage(Value, frozen=True, kw_only=True):
    """How much of a connection could be read; bytes of the wire are encrypted and all.

    `stack` and `library` say what it is that nothing could be read of, as far as that is known,
    `missing` how much plaintext was lost that is known to have been there.
    """

    state: Literal["decoded", "partial", "opaque"]
    reason: str | None = None
    stack: str | None = None
    library: str | None = None
    name: str | None = None
    provider: str | None = None
    ech: bool = False
    wire_sent: int
    wire_received: int
    decoded_sent: int = 0
    decoded_received: int = 0
    missing: int = 0


class Coverage(Value, frozen=True, kw_only=True, tag=True):
    """What is being watched, what is left out, and what was lost; `lost` counts by place.

    Or, with `connection`, one connection of an agent or to a model that could not be read.
    """

    libraries: tuple[Library, ...] = ()
    unreadable: dict[str, str] = {}
    left_out: dict[str, str] = {}
    lost: dict[str, int] = {}
    held: Held | None = None
    connection: ConnectionCoverage | None = None

    @property
    def of_busted(self) -> bool:
        """Whether it tells of Busted itself, and of nothing that anybody did."""
        return self.connection is None

    @property
    def name(self) -> str | None:
        """The host that the connection is to, if it tells of one and that is known."""
        return self.connection.name if self.connection else None

    @property
    def provider(self) -> str | None:
        """Whose host that is, if it is a provider's."""
        return self.connection.provider if self.connection else None


Action = (
    Prompt
    | Response
    | ToolCall
    | ToolResult
    | McpRequest
    | McpResponse
    | A2aRequest
    | A2aResponse
    | PiiDetected
    | CanaryDetected
    | LoopDetected
    | Network
    | ProcessExec
    | FileAccess
    | FileData
    | Coverage
)

# Which fields carry what people said. They leave the process as the operator's content
# level allows; everything else is metadata. Process.argv counts too: keys are typed there.
CONTENT_FIELDS: dict[type[Value], tuple[str, ...]] = {
    Process: ("argv",),
    Peer: ("argv",),
    ProcessExec: ("argv",),
    FileData: ("content",),
    ChatMessage: ("content",),
    Prompt: ("messages", "system_prompt", "user_message"),
    Response: ("text", "reasoning", "error"),
    ToolCall: ("arguments",),
    ToolResult: ("content",),
    McpRequest: ("params",),
    McpResponse: ("result", "error"),
    A2aRequest: ("text",),
    A2aResponse: ("text", "error"),
}


IdentityLevel = Literal["agent", "claimed", "instance", "configuration", "program", "new"]


class Identity(Value, frozen=True, kw_only=True):
    """Who speaks, over all its processes; `instance` is this run and `principal` who runs it.

    `level` says by what it was found, `confidence` how sure that is, 0 to 1, and `mismatch` what
    about it does not fit.
    """

    id: str
    name: str
    agent: str | None = None
    instance: str
    principal: str | None = None
    confidence: float
    level: IdentityLevel
    mismatch: tuple[str, ...] = ()


class Budget(Value, frozen=True, kw_only=True):
    """What an identity has spent in the last hour and day, this event included.

    Tokens are those of requests and answers as providers counted them; costs are in dollars.
    """

    requests_hour: int
    requests_day: int
    tokens_hour: int
    tokens_day: int
    cost_hour: float
    cost_day: float


Decision = Literal["allow", "audit", "deny"]

# What became of a denied action; the last two are those of shadow mode.
Enforced = Literal[
    "prevented",
    "interrupted",
    "after_send",
    "not_possible",
    "would_prevent",
    "would_interrupt",
]


class PolicyDecision(Value, frozen=True, kw_only=True):
    """What policy says of an event; `milliseconds` is what asking it took.

    `error` says why it could not be asked; the decision is then the operator's `--on-error`.
    `hindrance` is what kept it from being enforced in full.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    rule: str | None = None
    file: str | None = None
    id: str | None = None
    milliseconds: float | None = None
    error: str | None = None
    enforced: Enforced | None = None
    hindrance: str | None = None


class Behavior(Value, frozen=True, kw_only=True):
    """What a connection behaves like, by how it moved what it moved; not by what was read.

    `kind` is `llm_api` where it looks like the streamed answers of a model, else `generic`;
    `confidence` is the probability of that, 0.5 to 1, by the model of this version.
    """

    kind: Literal["llm_api", "generic"]
    confidence: float
    provider: str | None = None
    model: str


class Event(Value, frozen=True, kw_only=True):
    """One action by one process at one time, with all we found out about it.

    `session_id` groups what one run of a program did, or one session of an agent that
    names its sessions; `exchange_id` ties a request to its response and their tool calls.
    """

    schema: int
    id: str
    time: str
    host: str
    process: Process
    connection: Connection | None = None
    session_id: str | None = None
    exchange_id: str | None = None
    identity: Identity | None = None
    behavior: Behavior | None = None
    budget: Budget | None = None
    policy: PolicyDecision | None = None
    action: Action


def to_json(event: Event) -> bytes:
    """Return the event's public form: one JSON object without line breaks."""
    return _ENCODER.encode(event)


_ENCODER = msgspec.json.Encoder()

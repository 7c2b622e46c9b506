"""One event of each kind, as real traffic gives them."""

from busted.events import (
    SCHEMA,
    A2aAgent,
    A2aRequest,
    A2aResponse,
    Action,
    CanaryDetected,
    ChatMessage,
    Connection,
    ConnectionCoverage,
    Coverage,
    Event,
    FileAccess,
    FileData,
    Library,
    LoopDetected,
    McpRequest,
    McpResponse,
    Network,
    PiiDetected,
    Process,
    ProcessExec,
    Prompt,
    Response,
    Sdk,
    ToolCall,
    ToolResult,
    Usage,
)

PROMPT = Prompt(
    api="openai.chat",
    provider="openai",
    endpoint="/v1/chat/completions",
    model="gpt-4o",
    messages=(
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="What is the capital of France?"),
    ),
    system_prompt="Be brief.",
    user_message="What is the capital of France?",
    stream=True,
    params={"temperature": 0.2},
    sdk=Sdk(name="openai-python", version="1.52.0"),
    bytes=512,
    truncated=False,
)
RESPONSE = Response(
    api="openai.chat",
    provider="openai",
    model="gpt-4o",
    status=200,
    text="Paris, naïve friend.",
    usage=Usage(input=18, output=7),
    latency=1.36,
    time_to_first_token=0.42,
    stream=True,
    bytes=900,
    truncated=False,
)
TOOL_CALL = ToolCall(name="get_weather", id="call_1", arguments='{"city":"Paris"}', truncated=False)
TOOL_RESULT = ToolResult(id="call_1", name="get_weather", content="22 degrees", truncated=False)
MCP_REQUEST = McpRequest(
    method="tools/call",
    category="tools",
    kind="request",
    id="7",
    tool="read_file",
    params='{"path":"/etc/hosts"}',
    bytes=99,
    truncated=False,
)
MCP_RESPONSE = McpResponse(
    method="tools/call", category="tools", id="7", result='{"ok":1}', bytes=9, truncated=False
)
A2A_REQUEST = A2aRequest(
    method="SendMessage",
    binding="jsonrpc",
    agent=A2aAgent(name="weather"),
    role="user",
    text="How is Oslo?",
    bytes=99,
    truncated=False,
)
A2A_RESPONSE = A2aResponse(
    method="SendMessage",
    binding="jsonrpc",
    agent=A2aAgent(name="weather"),
    status=200,
    state="completed",
    text="Sunny.",
    stream=False,
    bytes=9,
    truncated=False,
)
PII = PiiDetected(direction="write", kinds=("email", "api_key"), where="Prompt", count=3)
CANARY = CanaryDetected(
    name="payroll",
    direction="write",
    spelling="base64",
    where="Prompt",
    field="user_message",
)
LOOP = LoopDetected(
    tool="read_file", where="McpRequest", count=6, since="2026-11-22T14:00:00.000000000Z"
)
NETWORK = Network(
    operation="close",
    provider="openai",
    name="api.openai.com",
    name_source="client_hello",
    bytes_sent=2048,
    bytes_received=4096,
    duration=1.25,
    attribution="opener",
)
PROCESS_EXEC = ProcessExec(
    exe="/usr/bin/git",
    argv=("git", "commit", "-m", "It works."),
    agent="claude-code",
    agent_pid=40000,
    parents=("bash", "claude"),
    truncated=False,
)
FILE_ACCESS = FileAccess(
    path="/srv/app/.env",
    operation="open",
    mode="read",
    category="environment",
    error=13,
    truncated=False,
)
FILE_DATA = FileData(
    path="/srv/app/notes.txt",
    direction="write",
    offset=0,
    content="Buy milk.",
    bytes=9,
    truncated=False,
)
COVERAGE = Coverage(
    libraries=(
        Library(path="/usr/lib/libssl.so.3", kind="openssl", processes=11),
        Library(path="/usr/bin/node", kind="openssl", processes=1),
    ),
    unreadable={"/opt/agent": "its symbols are stripped"},
    lost={"ring_full": 4096, "call_table": 0},
)
UNREAD = Coverage(
    connection=ConnectionCoverage(
        state="opaque",
        reason="no_hook",
        stack="java_jsse",
        library="/usr/lib/jvm/lib/server/libjvm.so",
        name="api.openai.com",
        provider="openai",
        wire_sent=900,
        wire_received=7100,
    )
)
SOCKET = Connection(
    id="7", socket="7", src_ip="192.0.2.9", src_port=40000, dst_ip="203.0.113.1", dst_port=443
)
ACTIONS: tuple[Action, ...] = (
    PROMPT,
    RESPONSE,
    TOOL_CALL,
    TOOL_RESULT,
    MCP_REQUEST,
    MCP_RESPONSE,
    A2A_REQUEST,
    A2A_RESPONSE,
    PII,
    CANARY,
    LOOP,
    NETWORK,
    PROCESS_EXEC,
    FILE_ACCESS,
    FILE_DATA,
    COVERAGE,
    UNREAD,
)


def event(action: Action, name: str = "python3") -> Event:
    """Return an event that carries `action`."""
    return Event(
        schema=SCHEMA,
        id="01JD8ZK4T5W3X2Y1V0N9M8Q7R6",
        time="2026-11-22T14:03:22.117456789Z",
        host="host",
        process=Process(pid=41213, name=name),
        connection=SOCKET if isinstance(action, Network) else None,
        action=action,
    )

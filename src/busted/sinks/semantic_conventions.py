"""OpenTelemetry's names for what AI agents do, as one table: they are not stable yet.

Version: the development version of 1.42 of the conventions for generative AI,
https://github.com/open-telemetry/semantic-conventions-genai. Names that are Busted's own begin with
`busted.`. An attribute is left out where its field is.
"""

from __future__ import annotations

VERSION = "gen-ai-dev/1.42.0-dev"

# Attribute: where its value stands in an event's JSON. Of all actions, then by type.
COMMON = {
    "busted.event.id": "id",
    "busted.event.type": "action.type",
    "busted.exchange.id": "exchange_id",
    "busted.policy.decision": "policy.decision",
    "gen_ai.conversation.id": "session_id",
    "process.pid": "process.pid",
    "process.executable.name": "process.name",
    "process.executable.path": "process.exe",
    "gen_ai.agent.name": "process.agent",
    "server.address": "connection.sni",
    "server.port": "connection.dst_port",
    "network.peer.address": "connection.dst_ip",
}
_MODEL = {"gen_ai.provider.name": "action.provider", "busted.api": "action.api"}
_TOOL = {
    "gen_ai.provider.name": "action.provider",
    "gen_ai.tool.name": "action.name",
    "gen_ai.tool.call.id": "action.id",
}
_MCP = {
    "mcp.method.name": "action.method",
    "mcp.protocol.version": "action.revision",
    "jsonrpc.request.id": "action.id",
}
_A2A = {
    "gen_ai.agent.name": "action.agent.name",
    "gen_ai.agent.version": "action.agent.version",
    "gen_ai.conversation.id": "action.context_id",
    "jsonrpc.request.id": "action.id",
}
BY_ACTION = {
    "Prompt": {
        **_MODEL,
        "gen_ai.operation.name": "action.operation",
        "gen_ai.request.model": "action.model",
        "gen_ai.request.stream": "action.stream",
        "gen_ai.request.temperature": "action.params.temperature",
        "gen_ai.request.top_p": "action.params.top_p",
        "gen_ai.request.max_tokens": "action.params.max_tokens",
    },
    "Response": {
        **_MODEL,
        "gen_ai.response.model": "action.model",
        "gen_ai.response.finish_reasons": "action.finish_reason",
        "gen_ai.response.time_to_first_chunk": "action.time_to_first_token",
        "gen_ai.usage.input_tokens": "action.usage.input",
        "gen_ai.usage.output_tokens": "action.usage.output",
        "gen_ai.usage.cache_read.input_tokens": "action.usage.cached",
        "gen_ai.usage.cache_creation.input_tokens": "action.usage.cache_written",
        "gen_ai.usage.reasoning.output_tokens": "action.usage.reasoning",
        "http.response.status_code": "action.status",
        "busted.cost": "action.cost",
    },
    "ToolCall": _TOOL,
    "ToolResult": _TOOL,
    "A2aRequest": _A2A,
    "A2aResponse": {**_A2A, "http.response.status_code": "action.status"},
    "McpRequest": {**_MCP, "gen_ai.tool.name": "action.tool"},
    "McpResponse": {**_MCP, "rpc.response.status_code": "action.error_code"},
}
# These are lists, whatever our field is.
LISTS = frozenset({"gen_ai.response.finish_reasons"})
# These are strings, whatever our field is.
TEXTS = frozenset({"jsonrpc.request.id", "rpc.response.status_code"})
# What an answer of a dialect was asked for, as its `Prompt` says; what is not here is a chat.
OPERATIONS = {
    "anthropic.messages.count_tokens": "count_tokens",
    "anthropic.batches": "batch",
    "anthropic.complete": "text_completion",
    "google.generate_content": "generate_content",
    "google.live": "generate_content",
    "google.count_tokens": "count_tokens",
    "google.embed_content": "embeddings",
    "google.predict": "predict",
    "bedrock.count_tokens": "count_tokens",
    "bedrock.invoke": "text_completion",
    "cohere.embed": "embeddings",
    "cohere.rerank": "rerank",
    "ollama.generate": "text_completion",
    "ollama.embed": "embeddings",
    "openai.responses.compact": "compact",
    "openai.responses.input_tokens": "count_tokens",
    "mistral.fim": "text_completion",
    "openai.completions": "text_completion",
    "openai.embeddings": "embeddings",
    "openai.moderations": "moderation",
    "openai.images": "image_generation",
    "openai.audio.speech": "speech",
    "openai.audio.transcriptions": "transcription",
    "openai.audio.translations": "translation",
    "openai.batches": "batch",
    "openai.files": "file_upload",
    "anthropic.files": "file_upload",
}

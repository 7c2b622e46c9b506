"""Words in paths by which a request without TLS is worth a look, at whatever host and port.

Without TLS there is much HTTP on a host that is none of ours, and the kernel side looks at the
first request of a connection alone. So a word here need not prove anything: what it lets through is
judged as everything is, and left alone when it is nothing. One that is missing hides what is asked
for at a port that nobody knows.

A word stands between slashes, question marks and colons.
"""

from __future__ import annotations

from busted.classifier.dialects import DIALECTS

# What many paths of models begin with, and what the table of dialects has no paths of: verbs of
# Google and Bedrock (see `routes`), lists of models, llama.cpp, KoboldCpp, vLLM; MCP's two
# transports over HTTP (modelcontextprotocol.io/specification, basic/transports).
_MORE = (
    "v1", "v1beta", "models", "engines", "openai", "completion", "infill", "tokenize",
    "generateContent", "streamGenerateContent", "generate_stream", "converse", "converse-stream",
    "invoke", "invoke-with-response-stream", "mcp", "sse",
)  # fmt: skip


def path_words() -> frozenset[str]:
    """Return the words: the last parts of the dialects' paths, and what they do not tell."""
    last = (path.rpartition("/")[2] for dialect in DIALECTS for path in dialect.paths)
    return frozenset(word for word in (*last, *_MORE) if word)

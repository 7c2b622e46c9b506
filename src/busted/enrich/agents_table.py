"""The programs that are AI agents, as rows of `busted.enrich.agents.Agent`.

The names are those that `agent` of a prompt has, where the agent names itself in its requests.
Some programs share a name with others that are no agents: those rows say with which first
argument they are meant. An operator adds rows in the configuration file.

Left out: agents that run inside an editor's process (Copilot Chat, Cody, Continue, Cline in
VS Code), which no file name tells; they are known once their TLS traffic names them.
"""

from __future__ import annotations

from busted.enrich.agents import Agent

AGENTS: tuple[Agent, ...] = (
    # Its own installer puts the executable at ~/.local/share/claude/versions/2.1.197.
    Agent(
        "claude-code",
        executables=("claude",),
        packages=("@anthropic-ai/claude-code", "claude/versions"),
    ),
    Agent(
        "codex",
        executables=("codex", "codex-exec", "codex-tui"),
        packages=("@openai/codex",),
    ),
    Agent("gemini-cli", executables=("gemini",), packages=("@google/gemini-cli",)),
    Agent("qwen-code", executables=("qwen",), packages=("@qwen-code/qwen-code",)),
    # AWS Copilot has commands as first arguments: https://aws.github.io/copilot-cli/docs/commands/
    Agent(
        "copilot",
        executables=("copilot",),
        packages=("@github/copilot",),
        arguments=("help", "login", "mcp", "plugin", "update", "version"),
    ),
    Agent("aider", executables=("aider",), packages=("aider",)),
    Agent("opencode", executables=("opencode",), packages=("opencode-ai",)),
    Agent("cursor", executables=("cursor", "cursor-agent")),
    # Another goose migrates databases: https://github.com/pressly/goose#usage
    Agent(
        "goose",
        executables=("goose", "goosed"),
        arguments=(
            *("acp", "agent", "bench", "configure", "info", "mcp", "project", "projects"),
            *("recipe", "run", "schedule", "session", "term", "update", "web"),
        ),
    ),
    # Another amp is an editor, which is given files.
    Agent(
        "amp",
        executables=("amp",),
        packages=("@sourcegraph/amp",),
        arguments=("login", "logout", "mcp", "permissions", "review", "threads", "tools", "update"),
    ),
    Agent("continue", executables=("cn",), packages=("@continuedev/cli",)),
    Agent("cody", executables=("cody", "cody-agent"), packages=("@sourcegraph/cody",)),
    Agent("windsurf", executables=("windsurf",)),
    # Another tabby is a terminal.
    Agent("tabby", executables=("tabby", "tabby-agent"), arguments=("download", "serve")),
    Agent("cline", executables=("cline",), packages=("cline",)),
    Agent("crush", executables=("crush",), packages=("@charmland/crush",)),
    Agent("kimi-cli", executables=("kimi",), packages=("kimi_cli",)),
    Agent("kiro", executables=("kiro-cli", "kiro-cli-chat", "qchat")),
    Agent("grok-build", executables=("grok",)),
    Agent("droid", executables=("droid",)),
    Agent("auggie", executables=("auggie",), packages=("@augmentcode/auggie",)),
    Agent("plandex", executables=("plandex",)),
    Agent("openhands", executables=("openhands",), packages=("openhands",)),
    Agent("open-interpreter", packages=("interpreter",)),
    Agent("gptme", executables=("gptme",), packages=("gptme",)),
    Agent("swe-agent", executables=("sweagent",), packages=("sweagent",)),
)

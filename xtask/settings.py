"""What is written of the settings: the tables of docs/settings.md, and deploy/config.toml.

`python -m xtask settings` writes both; tests/test_docs.py fails where they are not current.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from busted.agent.settings import OneOf, Setting, literal
from busted.agent.settings_table import SECTIONS, SETTINGS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/settings.md"
SHIPPED_FILE = ROOT / "deploy/config.toml"
WIDTH = 100

# What a service has beyond the defaults: it keeps what it learns, and prints nothing.
SHIPPED = {
    "identity.store": "/var/lib/busted/identities.db",
    "api.socket": "/run/busted/busted.sock",
}
# One of each place whose default says nothing of how it is written.
EXAMPLES = {
    "monitor.output": ("otlp:http://127.0.0.1:4318",),
    "monitor.duration": 3600.0,
    "monitor.pid": (1234,),
    "monitor.comm": ("claude", "node"),
    "monitor.record": "/var/lib/busted/today.rec",
    "monitor.buffer": "ring",
    "kubernetes.node": "node-7",
    "kubernetes.labels": ("app.kubernetes.io/name",),
    "kubernetes.kubeconfig": "/etc/busted/kubeconfig",
    "policy.directory": "/etc/busted/policies",
    "policy.on_error": "audit",
    "policy.audit_log": "/var/log/busted/audit.log",
    "metrics.listen": "127.0.0.1:9464",
    "metrics.token_file": "/etc/busted/metrics.token",
}

# From here on the page is made.
_FIRST = "\n## `["


def page() -> str:
    """Return docs/settings.md: what is written there, and the tables."""
    parts = [PAGE.read_text().partition(_FIRST)[0]]
    for section, about in SECTIONS.items():
        rows = [_row(setting) for setting in SETTINGS if setting.section == section]
        parts.append(
            f"## `[{section}]`\n\n{about}\n\n"
            "| Key | Option | Variable | Default | Values | Meaning |\n"
            "|---|---|---|---|---|---|\n" + "".join(rows)
        )
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    kind = setting.kind
    values = ", ".join(f"`{w}`" for w in kind.words) if isinstance(kind, OneOf) else kind.told
    name = setting.key.partition(".")[2]
    told = f"list: {values}" if setting.many else values
    return (
        f"| `{name}` | `{setting.flag}` | `{setting.variable}` | {setting.default_told} | {told} "
        f"| {setting.help} |\n"
    )


_FILE = """\
# Busted's configuration, as /etc/busted/config.toml; it must belong to root, and nobody else may
# write it. What begins with a # is the default, or an example where there is none. docs/settings.md
# tells all of it. `busted config check FILE` says whether a monitor takes a file, `busted config
# show` what holds and why. An option wins over a variable BUSTED_... of the environment, which wins
# over this file. `systemctl reload busted` takes on changed rows; settings take a restart.
"""
_ROWS = """
# Where events go; standard output only if it is named, too (docs/outputs.md). `busted query` and
# `busted tail` read this one.
[[outputs]]
kind = "history"
target = "/var/lib/busted/history.db"

# [[outputs]]
# kind = "webhook"
# target = "https://siem.example/hook"
# content = "none"
# secret_file = "/etc/busted/hook.secret"

# What Busted should know besides: providers, prices, agents, sensitive files (docs/cli.md), rules
# for personal data, canaries (docs/pii.md).

# [[providers]]
# id = "acme"
# name = "Acme gateway"
# hosts = ["llm.acme.example"]

# [[agents]]
# name = "acme-agent"
# executables = ["acme-agent"]

# [[sensitive]]
# category = "acme"
# paths = ["acme-secrets.ini"]

# [pii]
# phone_region = "US"

# [[canaries]]
# name = "backup"
# value = "a value that should never leave"
"""


def shipped() -> str:
    """Return deploy/config.toml."""
    parts = [_FILE]
    for section, about in SECTIONS.items():
        lines = [f"# {about}", f"[{section}]"]
        for setting in SETTINGS:
            if setting.section == section:
                lines += [
                    *textwrap.wrap(
                        setting.help, WIDTH - 3, initial_indent="# ", subsequent_indent="# "
                    ),
                    _line(setting),
                    "",
                ]
        parts.append("\n".join(lines))
    return "\n".join(parts) + _ROWS.removeprefix("\n")


def _line(setting: Setting) -> str:
    name = setting.key.partition(".")[2]
    if setting.key in SHIPPED:
        return f"{name} = {literal(SHIPPED[setting.key])}"
    value = EXAMPLES.get(setting.key, setting.default)
    return f"# {name} = {literal(value)}"


if __name__ == "__main__":
    PAGE.write_text(page())
    SHIPPED_FILE.write_text(shipped())

"""The settings of a monitor, with their bounds, and the tables of the configuration file.

The tables add to what Busted knows: who serves models, what they cost, which programs are agents,
which files are sensitive, what is personal or secret; and they name outputs. They are checked row
by row: a wrong one stops the command, since a monitor that leaves out half of what it was told
watches something else than its operator believes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from busted.agent.behaviour import BehaviourSettings
from busted.agent.embedding import Embed, EmbedError, EmbedSettings, load
from busted.agent.enforcement import VERDICT_SECONDS, OnDeny
from busted.agent.file_access import Mode
from busted.agent.flows import Network
from busted.agent.hold import Terms
from busted.agent.loops import LoopTerms
from busted.classifier import dialects
from busted.classifier.canaries import Canary
from busted.classifier.options import DEFAULT_OPTIONS, Options, with_rows
from busted.classifier.pii import DEFAULT_REGION, Scanner
from busted.classifier.pii_checks import is_region
from busted.classifier.pii_rules import CustomRule, Pack
from busted.classifier.pii_search import pattern_error
from busted.classifier.prices import Price
from busted.classifier.providers import Provider
from busted.enrich.agents import Agent, Agents
from busted.enrich.agents_table import AGENTS
from busted.enrich.pod_watch import KubernetesSettings
from busted.enrich.sensitive import Sensitive, SensitiveFiles
from busted.enrich.sensitive_table import SENSITIVE
from busted.events import Decision
from busted.records import FileAccess, Flow, ProcessExec, TlsOpen
from busted.sinks.channel import WrongOutput
from busted.sinks.kinds import Choice, choose

KIB, MIB = 1 << 10, 1 << 20


class Selection(msgspec.Struct, frozen=True):
    """The processes that the operator asked for; an empty set asks for all."""

    pids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    def __call__(self, record: TlsOpen | ProcessExec | Flow | FileAccess) -> bool:
        """Tell whether the process of this record is one of them."""
        return (not self.pids or record.key.pid in self.pids) and (
            not self.names or record.comm.decode("utf-8", "replace") in self.names
        )


class Tables(msgspec.Struct, frozen=True):
    """What Busted knows, with what an operator adds."""

    options: Options = DEFAULT_OPTIONS
    agents: Agents = Agents(AGENTS)
    sensitive: SensitiveFiles = SensitiveFiles(SENSITIVE)
    outputs: tuple[Choice, ...] = ()
    # What system prompts mean; None: they are compared by their words alone.
    embed: Embed | None = None


DEFAULT_TABLES = Tables()


Stdio = Literal["none", "agents", "all"]
"""Whose standard input and output are read: nobody's, those that agents, programs that speak to
models and MCP servers have, or everybody's."""


class Settings(msgspec.Struct, frozen=True):
    """What the operator chose; the defaults are those of `busted monitor`."""

    # How records come from the kernel; None: the better way that it offers.
    buffer: Literal["ring", "perf"] | None = None
    # Room for 16 MB of plaintext between two looks, 10 ms apart under load: 1.6 GB/s.
    ring_bytes: int = 16 * MIB
    # What one call of the TLS library reports at most. Agents' requests are about 90 KB, the
    # largest seen is 16 MB, nearly all of it attachments.
    max_call_bytes: int = 1 * MIB
    # Stop after so many seconds; None: run until told to stop.
    duration: float | None = None
    selection: Selection = Selection()
    record: Path | None = None
    # Where identities are kept over restarts; None: nowhere.
    identity_store: Path | None = None
    tables: Tables = DEFAULT_TABLES
    kubernetes: KubernetesSettings = KubernetesSettings()
    loops: LoopTerms = LoopTerms()
    # Which flows become events; "none" does not even load the programs.
    network: Network = "ai"
    # Whether what is said without TLS is read, where it is HTTP that may be for a model or of MCP.
    plain: bool = True
    # Whose standard input and output are read for MCP; "none" does not even load the programs.
    stdio: Stdio = "agents"
    # What connections behave like, also those that nobody can read; it takes `network`.
    behaviour: BehaviourSettings = BehaviourSettings()
    # A directory or file of Rego; None: events carry no decisions.
    policy: Path | None = None
    # What is decided where policy cannot be asked.
    on_error: Decision = "audit"
    audit_log: Path | None = None
    # Whether what policy denies is stopped; in shadow mode it is only told what would be.
    enforcement: Literal["off", "shadow", "on"] = "off"
    on_deny: OnDeny = "reset"
    # How requests wait for their decision, where something is enforced; None: they do not wait.
    hold: Terms | None = Terms()
    verdict_seconds: float = VERDICT_SECONDS
    # Whether addresses of the link (169.254.0.0/16, fe80::/10) may be refused, too.
    deny_link_local: bool = False
    # Which files of agents become events; None does not even load the programs, which cost every
    # system call of the host something.
    files: Mode | None = None
    # Whether the kernel counts how often our programs run, and how long: some 20 ns a run.
    bpf_stats: bool = False
    # The content of one open file that is read, at most. Most sources and settings are smaller.
    max_file_bytes: int = 64 * KIB


MIN_RING_BYTES, MAX_RING_BYTES = 64 * KIB, 1024 * MIB
# At least the first and the last piece; the programs stop at 256 pieces of 16 KiB.
MIN_CALL_BYTES, MAX_CALL_BYTES = 32 * KIB, 4 * MIB

# Ten years: longer than a kernel runs.
MAX_DURATION_SECONDS = 10 * 366 * 86_400.0
# proc(5), /proc/sys/kernel/pid_max: PID_MAX_LIMIT of 64-bit kernels.
MAX_PID = 1 << 22

# What the monitor holds of each open file until it is closed, in both directions together.
MAX_FILE_BYTES = 1 * MIB

Row = TypeVar("Row", Provider, Price, Agent, Sensitive, Canary, CustomRule)


class ConfigError(Exception):
    """The configuration file cannot be used; the message is one line that names file and row."""


class PiiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of personal data and secrets is looked for: the table `pii`, without its rules."""

    phone_region: str = DEFAULT_REGION
    packs: tuple[Pack, ...] = ()


TABLES = ("providers", "prices", "agents", "sensitive", "pii", "canaries", "outputs", "embed")
"""The tables of the file that hold no settings: rows, `pii`, and the model of `embed`."""


def tables_of(path: Path, given: Mapping[str, Any]) -> Tables:
    """Return our tables with those of a file, which `path` names in errors. Raises ConfigError."""
    providers = _rows(path, given, "providers", Provider)
    for number, row in enumerate(providers, 1):
        if wrong := _wrong(row):
            raise ConfigError(f"{path}: row {number} of providers: {wrong}")
    options = with_rows(providers, _rows(path, given, "prices", Price), _scanner(path, given))
    agents = Agents((*_rows(path, given, "agents", Agent), *AGENTS))
    rows = _rows(path, given, "sensitive", Sensitive)
    for number, files in enumerate(rows, 1):
        if "" in SensitiveFiles([files]).words:
            raise ConfigError(
                f"{path}: row {number} of sensitive: a path without a name to look for"
            )
    return Tables(
        options,
        agents,
        SensitiveFiles((*rows, *SENSITIVE)),
        _outputs(path, given),
        _embed(path, given),
    )


def _scanner(path: Path, given: Mapping[str, Any]) -> Scanner:
    table = given.get("pii", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: pii is no table: begin it with [pii]")
    try:
        chosen = msgspec.convert({k: v for k, v in table.items() if k != "rules"}, PiiSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: pii: {error}") from error
    if not is_region(chosen.phone_region):
        raise ConfigError(
            f"{path}: pii: no region is called {chosen.phone_region!r}; "
            "write a country's two capital letters (ISO 3166-1)"
        )
    rules = _rows(path, table, "pii.rules", CustomRule)
    for number, rule in enumerate(rules, 1):
        if wrong := pattern_error(rule):
            raise ConfigError(
                f"{path}: row {number} of pii.rules, {rule.kind!r}: its pattern is wrong: {wrong}"
            )
    return Scanner(
        region=chosen.phone_region,
        packs=chosen.packs,
        custom=rules,
        canaries=_rows(path, given, "canaries", Canary),
    )


def _tables(path: Path, given: Mapping[str, Any], name: str) -> list[Any]:
    rows = given.get(name.rpartition(".")[2], [])
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: {name} is no list of tables: begin each with [[{name}]]")
    return rows


def _outputs(path: Path, given: Mapping[str, Any]) -> tuple[Choice, ...]:
    chosen = []
    for number, row in enumerate(_tables(path, given, "outputs"), 1):
        try:
            if not isinstance(row, dict):
                raise WrongOutput("no table")
            chosen.append(choose(row))
        except WrongOutput as error:
            raise ConfigError(f"{path}: row {number} of outputs: {error}") from error
    return tuple(chosen)


def _embed(path: Path, given: Mapping[str, Any]) -> Embed | None:
    if "embed" not in given:
        return None
    try:
        return load(msgspec.convert(given["embed"], EmbedSettings))
    except (EmbedError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: embed: {error}") from error


def _rows(path: Path, given: Mapping[str, Any], name: str, type: type[Row]) -> list[Row]:
    found = []
    for number, row in enumerate(_tables(path, given, name), 1):
        try:
            found.append(msgspec.convert(row, type))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{path}: row {number} of {name}: {error}") from error
    return found


def _wrong(row: Provider) -> str | None:
    """Return what the types of a provider's fields cannot say."""
    if bool(row.hosts) == bool(row.local_ports):
        return "it needs either hosts or local_ports"
    if row.local_ports and not row.paths:
        return "local_ports need paths: a port alone tells nothing"
    if dialects.by_name(row.api) is None:
        known = ", ".join(dialect.api for dialect in dialects.DIALECTS)
        return f"no api is called {row.api!r}; there are {known}"
    return None

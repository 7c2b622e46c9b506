"""The kinds of output, and how one is made from what an operator says.

`KIND:TARGET?SETTING=VALUE&...` on the command line, or a table of the configuration file. A kind's
module is imported when the kind is used: most need a library that not every installation has.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from busted import state
from busted.sinks.channel import Channel, WrongOutput
from busted.sinks.delivery import Delivery, Limits
from busted.sinks.settings import QueuedSettings, RemoteSettings, Settings
from busted.sinks.spool import Spool


class Kind(msgspec.Struct, frozen=True):
    """Where a kind is: module, channel and settings in it, and the extra that brings its needs."""

    module: str
    channel: str
    settings: str
    target: str
    extra: str | None = None


KINDS = {
    "file": Kind("file", "FileChannel", "FileSettings", "PATH"),
    "history": Kind("history_output", "HistoryChannel", "HistorySettings", "PATH"),
    "unix": Kind("unix", "UnixChannel", "UnixSettings", "PATH"),
    "webhook": Kind("webhook", "WebhookChannel", "WebhookSettings", "URL", "http"),
    "otlp": Kind("otlp", "OtlpChannel", "OtlpSettings", "URL", "otlp"),
    "syslog": Kind("syslog", "SyslogChannel", "SyslogSettings", "tls://HOST:PORT"),
    "nats": Kind("nats", "NatsChannel", "NatsSettings", "nats://HOST:PORT", "nats"),
    "kafka": Kind("kafka", "KafkaChannel", "KafkaSettings", "HOST:PORT", "kafka"),
    "elasticsearch": Kind(
        "elasticsearch", "ElasticsearchChannel", "ElasticsearchSettings", "URL", "http"
    ),
    "splunk": Kind("splunk", "SplunkChannel", "SplunkSettings", "URL", "http"),
    "loki": Kind("loki", "LokiChannel", "LokiSettings", "URL", "http"),
}
STANDARD_OUTPUT = "stdout"


class StandardOutputSettings(Settings, frozen=True, kw_only=True):
    """Settings of standard output; the format is that of --format where none is given."""

    format: Literal["text", "verbose", "json"] | None = None


class Choice(msgspec.Struct, frozen=True):
    """An output as an operator chose it, checked."""

    kind: str
    target: str
    settings: Settings

    @property
    def name(self) -> str:
        """What the output is called where it must be told from others."""
        return self.settings.name or self.kind


def parse(text: str) -> Choice:
    """Return the output that `KIND:TARGET?SETTING=VALUE&...` asks for. Raises WrongOutput."""
    kind, _, rest = text.partition(":")
    target, _, query = rest.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise WrongOutput(f"{text!r}: settings are SETTING=VALUE, with & between them") from error
    return choose({"kind": kind, "target": target, **dict(pairs)})


def choose(row: Mapping[str, Any]) -> Choice:
    """Return the output that a table of settings asks for. Raises WrongOutput."""
    settings = dict(row)
    kind, target = settings.pop("kind", None), settings.pop("target", "")
    if kind == STANDARD_OUTPUT:
        if target:
            raise WrongOutput("stdout has no target")
        return Choice(kind, "", _converted(kind, settings, StandardOutputSettings))
    if kind not in KINDS:
        raise WrongOutput(f"no output is called {kind!r}; there are {', '.join(names())}")
    if not target or not isinstance(target, str):
        raise WrongOutput(f"{kind} needs a target: {kind}:{KINDS[kind].target}")
    module = _module(kind)
    choice = Choice(kind, target, _converted(kind, settings, getattr(module, KINDS[kind].settings)))
    if not choice.name.replace("-", "").replace("_", "").isalnum():
        raise WrongOutput(f"{kind}: a name has letters, digits, - and _ only, not {choice.name!r}")
    return choice


def names() -> list[str]:
    """Return the names of all kinds."""
    return [STANDARD_OUTPUT, *KINDS]


def check_together(choices: Sequence[Choice]) -> None:
    """Raise WrongOutput where two outputs have the same name."""
    seen = set()
    for choice in choices:
        if choice.name in seen:
            raise WrongOutput(
                f"two outputs are called {choice.name!r}: give one another name with name=NAME"
            )
        seen.add(choice.name)


def open_delivery(choice: Choice) -> Delivery:
    """Make the channel of an output, its spool, and what delivers. Raises WrongOutput."""
    settings = choice.settings
    assert isinstance(settings, QueuedSettings)
    limits = Limits(
        batch_events=settings.batch_events,
        batch_bytes=settings.batch_bytes,
        batch_seconds=settings.batch_seconds,
    )
    try:
        channel: Channel = getattr(_module(choice.kind), KINDS[choice.kind].channel)(
            choice.target, settings
        )
        spool = None
        if isinstance(settings, RemoteSettings):
            limits = msgspec.structs.replace(limits, spool_age_seconds=settings.spool_seconds)
            if settings.spool != "off":
                directory = Path(settings.spool) if settings.spool else state.spool()
                spool = Spool(directory / f"{choice.name}.db", settings.spool_bytes)
    except WrongOutput as error:
        raise WrongOutput(f"output {choice.name}: {error}") from error
    return Delivery(choice.name, channel, limits, spool)


def _module(kind: str) -> Any:
    try:
        return importlib.import_module(f"busted.sinks.{KINDS[kind].module}")
    except ImportError as error:
        raise WrongOutput(
            f"{kind} needs {error.name}: pip install 'busted[{KINDS[kind].extra}]'"
        ) from error


def _converted(kind: str, settings: dict[str, Any], type: type[Settings]) -> Settings:
    if unknown := sorted(settings.keys() - set(type.__struct_fields__)):
        known = ", ".join(sorted(type.__struct_fields__))
        raise WrongOutput(f"{kind} has no setting {unknown[0]!r}; it has {known}")
    try:
        # Everything is text in a query string.
        return msgspec.convert(settings, type, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise WrongOutput(f"{kind}: {error}") from error


def _path(type: type[Any], value: Any) -> Any:
    if type is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected the path of a file, got {value!r}")

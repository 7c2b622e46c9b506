"""The options of `busted monitor`, made from the table of settings, and what they come to.

What makes no sense together is a mistake in use. What only has no effect, such as the time that
requests are held where nothing is enforced, is one where an option says it, for whoever types it
means something by it; a file may say it, since it is written once and for long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from busted.agent import config_file
from busted.agent.behaviour import BehaviourSettings
from busted.agent.config import ConfigError, Selection, Settings
from busted.agent.config_file import ConfigFile
from busted.agent.hold import Terms
from busted.agent.loops import LoopTerms
from busted.agent.settings import Flag, Kind, OneOf, Setting, Value, WrongValue, resolve
from busted.agent.settings_table import SETTINGS
from busted.sinks.kinds import Choice, check_together, parse

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Of no use without another: settings by that of which there must be a value.
_NEEDS = {
    "policy.directory": ("policy.on_error",),
    "metrics.listen": ("metrics.token_file",),
}
_NEED_ENFORCEMENT = ("enforce.on_deny", "enforce.verdict_seconds", "enforce.deny_link_local")
_NEED_HOLD = ("hold.seconds", "hold.bytes", "hold.timeout_action")


class Chosen(msgspec.Struct, frozen=True):
    """What an operator chose: the file, and what holds of all places together."""

    file: ConfigFile
    values: dict[str, Value]

    def __getitem__(self, key: str) -> Any:
        """Return what holds for a key."""
        return self.values[key].value


class _Type(click.ParamType[Any]):
    """A kind of settings, for click."""

    def __init__(self, kind: Kind) -> None:
        self._kind, self.name = kind, kind.metavar

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value that a text stands for."""
        try:
            return self._kind.of_text(value) if isinstance(value, str) else value
        except WrongValue as error:
            self.fail(f"{error}.", param, ctx)


def _option(setting: Setting) -> Decorator:
    kind, names = setting.kind, setting.flag
    more: dict[str, Any] = {}
    if isinstance(kind, Flag):
        names = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        more["type"] = None
    elif isinstance(kind, OneOf):
        more["type"] = click.Choice(kind.words)
        if kind.bare:
            more |= {"is_flag": False, "flag_value": kind.bare}
    else:
        more["type"] = _Type(kind)
    default = setting.default_told.replace("`", "")
    return click.option(
        names,
        setting.argument,
        default=None,
        multiple=setting.many,
        metavar=kind.metavar or None,
        help=f"{setting.help}  [default: {default}]",
        **more,
    )


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all settings as options, and the file that has the others."""
    for setting in reversed(SETTINGS):
        command = _option(setting)(command)
    return click.option(
        "--config",
        # access(2), which click asks, knows nothing of capabilities.
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Read this configuration file (TOML).  [default: /etc/busted/config.toml, if there]",
    )(command)


def chosen(ctx: click.Context, environment: Mapping[str, str] = os.environ) -> Chosen:
    """Return what holds for a command with `setting_options`. Raises ConfigError."""
    path = ctx.params["config"] or config_file.find(environment)
    file = config_file.read(path) if path else ConfigFile()
    given = {
        setting.argument: ctx.params[setting.argument]
        for setting in SETTINGS
        if ctx.get_parameter_source(setting.argument) is ParameterSource.COMMANDLINE
    }
    try:
        return Chosen(file, resolve(SETTINGS, file.values, environment, given))
    except WrongValue as error:
        raise ConfigError(str(error)) from error


def settings_of(chosen: Chosen) -> Settings:
    """Return the settings of a monitor, the host's key aside. Raises UsageError."""
    _check(chosen)
    enforces = chosen["enforce.enabled"] or chosen["enforce.shadow"]
    shadow = chosen["enforce.shadow"]
    files = chosen["files.monitor"]
    return Settings(
        buffer=chosen["monitor.buffer"],
        ring_bytes=chosen["monitor.ring_bytes"],
        max_call_bytes=chosen["monitor.max_call_bytes"],
        duration=chosen["monitor.duration"],
        selection=Selection(frozenset(chosen["monitor.pid"]), frozenset(chosen["monitor.comm"])),
        record=chosen["monitor.record"],
        identity_store=chosen["identity.store"],
        kubernetes=msgspec.structs.replace(
            Settings().kubernetes,
            enabled=chosen["kubernetes.enabled"],
            node=chosen["kubernetes.node"] or "",
            labels=chosen["kubernetes.labels"],
            kubeconfig=str(chosen["kubernetes.kubeconfig"] or ""),
        ),
        loops=LoopTerms(calls=chosen["loops.count"], seconds=chosen["loops.seconds"]),
        plain=chosen["network.plain"],
        stdio=chosen["network.stdio"],
        network=chosen["network.connections"],
        behaviour=BehaviourSettings(
            is_wanted=chosen["ml.enabled"],
            model=chosen["ml.model"],
            calibration=chosen["ml.calibration"],
        ),
        files=None if files == "none" else files,
        max_file_bytes=chosen["files.max_bytes"],
        policy=chosen["policy.directory"],
        on_error=chosen["policy.on_error"] or ("deny" if enforces else Settings().on_error),
        audit_log=chosen["policy.audit_log"],
        enforcement="shadow" if shadow else "on" if enforces else "off",
        on_deny=chosen["enforce.on_deny"],
        verdict_seconds=chosen["enforce.verdict_seconds"],
        deny_link_local=chosen["enforce.deny_link_local"],
        bpf_stats=chosen["metrics.bpf_stats"],
        hold=Terms(
            seconds=chosen["hold.seconds"],
            bytes=chosen["hold.bytes"],
            fails_open=chosen["hold.timeout_action"] == "open",
            hosts=chosen["hold.hosts"],
        )
        if _is_held(chosen)
        else None,
        tables=chosen.file.tables,
    )


def outputs_of(chosen: Chosen) -> tuple[Choice, ...]:
    """Return the outputs of the file's tables and those of the setting. Raises WrongOutput."""
    outputs = (*chosen.file.tables.outputs, *map(parse, chosen["monitor.output"]))
    check_together(outputs)
    return outputs


def _is_held(chosen: Chosen) -> bool:
    return bool(
        chosen["enforce.enabled"] and not chosen["enforce.shadow"] and chosen["hold.enabled"]
    )


def _check(chosen: Chosen) -> None:
    """Raise UsageError for what makes no sense together."""
    for key, dependents in _NEEDS.items():
        if chosen[key] is None and (names := _options(chosen, dependents)):
            raise click.UsageError(f"{names} of no use without {_flag(key)}.")
    audit_log = chosen.values["policy.audit_log"]
    reveal = chosen.values["api.reveal"]
    if chosen["policy.directory"] is None and audit_log.value and not reveal.value:
        raise click.UsageError(f"{audit_log.place}: an audit log needs --policy or --reveal.")
    if reveal.value and not (chosen["api.socket"] and audit_log.value):
        raise click.UsageError(f"{reveal.place}: revealing needs --socket and --audit-log.")
    if reveal.value and chosen["monitor.content"] != "redacted":
        raise click.UsageError(f"{reveal.place}: revealing needs --content redacted.")
    for key in ("enforce.enabled", "enforce.shadow"):
        if chosen[key] and chosen["policy.directory"] is None:
            raise click.UsageError(f"{chosen.values[key].place}: enforcing needs --policy.")
        if chosen[key] and chosen["network.connections"] == "none":
            place = chosen.values[key].place
            raise click.UsageError(f"{place}: enforcing needs connections: not --network none.")
    listen = chosen["metrics.listen"]
    if listen and not listen.is_loopback and chosen["metrics.token_file"] is None:
        raise click.UsageError("--metrics beyond loopback needs --metrics-token-file.")
    enforces = chosen["enforce.enabled"] or chosen["enforce.shadow"]
    if not enforces and (names := _options(chosen, _NEED_ENFORCEMENT)):
        raise click.UsageError(f"{names} of no use without --enforce or --shadow.")
    if not _is_held(chosen) and (names := _options(chosen, _NEED_HOLD)):
        raise click.UsageError(
            f"{names} of no use without --enforce, or with --shadow or --no-hold."
        )


def _options(chosen: Chosen, keys: tuple[str, ...]) -> str:
    """Return those of some settings that were given as options, as the begin of a sentence."""
    given = [_flag(key) for key in keys if chosen.values[key].source == "option"]
    return f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'}" if given else ""


def _flag(key: str) -> str:
    return config_file.setting_of(key).flag

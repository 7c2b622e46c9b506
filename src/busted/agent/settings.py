"""What a setting is: declared once, given in a file, in the environment or as an option.

Strategy: a row of `settings_table` has all that is to be known of a setting. From it come the
options of `busted monitor`, the keys of the configuration file, the variables of the environment,
`busted config` and docs/settings.md. Of several places the later one wins, of a list the whole one:
default, file, environment, option.

An empty variable counts as none, since that is what a container's template makes of a value that
was not given; an empty text as an option or in the file takes a path away that was given before.

Left out: the tables of the file (`[[providers]]`, ...), which are rows and not settings.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from busted.agent.endpoint import parse
from busted.classifier.providers import HostPattern

PREFIX = "BUSTED_"

_TRUE = {"true": True, "yes": True, "on": True, "1": True}
_FALSE = {"false": False, "no": False, "off": False, "0": False}
_FLAGS = _TRUE | _FALSE


class WrongValue(ValueError):
    """A value that its setting does not take; the message says what it takes."""


class Kind(msgspec.Struct, frozen=True):
    """What values a setting takes; `metavar` stands for one in the help."""

    metavar: str = ""

    @property
    def told(self) -> str:
        """What values there are, bounds and units included."""
        raise NotImplementedError

    def of_value(self, value: Any) -> Any:
        """Return what a value of the file says. Raises WrongValue."""
        raise NotImplementedError

    def of_text(self, text: str) -> Any:
        """Return what a text says. Raises WrongValue."""
        return self.of_value(text)

    def wrong(self, value: Any) -> WrongValue:
        """Return the error to raise where a value is none of this kind."""
        return WrongValue(f"{told(value)} is not {self.told}")


class Text(Kind, frozen=True):
    """Any text; an empty one is none."""

    metavar: str = "TEXT"

    @property
    def told(self) -> str:
        """What values there are."""
        return "a text"

    def of_value(self, value: Any) -> Any:
        """Return the text, None for an empty one."""
        if not isinstance(value, str):
            raise self.wrong(value)
        return value or None


class HostName(Text, frozen=True):
    """A host's name, or a pattern of names as rows of providers have it."""

    metavar: str = "HOST"

    @property
    def told(self) -> str:
        """What values there are."""
        return "a host's name, in which `*` stands for a part"

    def of_value(self, value: Any) -> Any:
        """Return the name in lower case."""
        try:
            return msgspec.convert(str.lower(value), HostPattern)
        except (TypeError, msgspec.ValidationError) as error:
            raise self.wrong(value) from error


class FilePath(Text, frozen=True):
    """The path of a file or directory; relative ones begin where the monitor is started."""

    metavar: str = "FILE"

    @property
    def told(self) -> str:
        """What values there are."""
        return "a path"

    def of_value(self, value: Any) -> Any:
        """Return the path, None for an empty one."""
        text = Text.of_value(self, value)
        return Path(text) if text else None


class Address(Text, frozen=True):
    """An IP address with a port."""

    metavar: str = "ADDRESS:PORT"

    @property
    def told(self) -> str:
        """What values there are."""
        return "ADDRESS:PORT, as 127.0.0.1:9464 is"

    def of_value(self, value: Any) -> Any:
        """Return where to listen, None for an empty text."""
        text = Text.of_value(self, value)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise self.wrong(value) from error


class Flag(Kind, frozen=True):
    """Yes or no."""

    @property
    def told(self) -> str:
        """What values there are."""
        return "true or false"

    def of_value(self, value: Any) -> Any:
        """Return whether it is yes."""
        if not isinstance(value, bool):
            raise self.wrong(value)
        return value

    def of_text(self, text: str) -> Any:
        """Return whether a text means yes."""
        return self.of_value(_FLAGS.get(text.lower(), text))


class OneOf(Kind, frozen=True):
    """One of some words; `bare` is meant by an option without a value."""

    words: tuple[str, ...] = ()
    bare: str | None = None

    @property
    def told(self) -> str:
        """What values there are."""
        return f"one of {', '.join(self.words)}"

    def of_value(self, value: Any) -> Any:
        """Return the word."""
        if value not in self.words:
            raise self.wrong(value)
        return value


class Whole(Kind, frozen=True, kw_only=True):
    """A whole number within bounds."""

    metavar: str = "INTEGER"
    least: int
    most: int
    power_of_two: bool = False

    @property
    def told(self) -> str:
        """What values there are."""
        kind = "a power of two" if self.power_of_two else "a whole number"
        return f"{kind} from {self.least} to {self.most}"

    def of_value(self, value: Any) -> Any:
        """Return the number."""
        if (
            type(value) is not int  # True is one, too
            or not self.least <= value <= self.most
            or (self.power_of_two and value & (value - 1))
        ):
            raise self.wrong(value)
        return value

    def of_text(self, text: str) -> Any:
        """Return the number that a text holds."""
        try:
            value = int(text)
        except ValueError as error:
            raise self.wrong(text) from error
        return self.of_value(value)


class Seconds(Kind, frozen=True, kw_only=True):
    """A time within bounds; `least` itself only where it is `included`."""

    metavar: str = "SECONDS"
    least: float
    most: float
    included: bool = True

    @property
    def told(self) -> str:
        """What values there are."""
        least = f"from {self.least:g}" if self.included else f"above {self.least:g}"
        return f"a number of seconds {least} to {self.most:g}"

    def of_value(self, value: Any) -> Any:
        """Return the number."""
        if (
            type(value) not in (int, float)
            or not self.least <= value <= self.most  # what is not a number is not, either
            or (value == self.least and not self.included)
        ):
            raise self.wrong(value)
        return float(value)

    def of_text(self, text: str) -> Any:
        """Return the number that a text holds."""
        try:
            value = float(text)
        except ValueError as error:
            raise self.wrong(text) from error
        return self.of_value(value)


class Setting(msgspec.Struct, frozen=True):
    """One thing that an operator can choose.

    `unset` says what holds where there is no default. With `many` it may be given several
    times as an option, is a list in the file, and words in its variable, quoted as in a shell.
    """

    key: str
    flag: str
    kind: Kind
    default: Any
    help: str
    unset: str = "none"
    many: bool = False

    @property
    def section(self) -> str:
        """The table of the file that it stands in."""
        return self.key.partition(".")[0]

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.flag.removeprefix("--").replace("-", "_").upper()

    @property
    def argument(self) -> str:
        """What the function that runs the command calls it."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def default_told(self) -> str:
        """The default as it stands in documents."""
        return self.unset if self.default in (None, ()) else f"`{shown(self.default)}`"

    def of_text(self, text: str) -> Any:
        """Return what its variable says. Raises WrongValue."""
        if not self.many:
            return self.kind.of_text(text)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise WrongValue(f"{told(text)} is no list of words: {error}") from error
        return tuple(self.kind.of_text(word) for word in words)

    def of_value(self, value: Any) -> Any:
        """Return what a value of the file says. Raises WrongValue."""
        if not self.many:
            return self.kind.of_value(value)
        if not isinstance(value, list):
            raise WrongValue(f"{told(value)} is no list: put it between brackets")
        return tuple(map(self.kind.of_value, value))


Source = Literal["default", "file", "environment", "option"]


class Value(msgspec.Struct, frozen=True):
    """What holds, and where it comes from; `place` names file, variable or option."""

    value: Any
    source: Source = "default"
    place: str = ""


Values = Mapping[str, Value]
"""What holds for each key."""


def resolve(
    settings: Iterable[Setting],
    in_file: Values,
    environment: Mapping[str, str],
    options: Mapping[str, Any],
) -> dict[str, Value]:
    """Return what holds for each setting, by key; `options` has what was given, by argument.

    Raises WrongValue where a variable makes no sense, which it names.
    """
    values = {}
    for setting in settings:
        values[setting.key] = in_file.get(setting.key, Value(setting.default))
        if text := environment.get(setting.variable):
            try:
                value = setting.of_text(text)
            except WrongValue as error:
                raise WrongValue(
                    f"the environment has a wrong {setting.variable}: {error}"
                ) from None
            values[setting.key] = Value(value, "environment", setting.variable)
        if setting.argument in options:
            values[setting.key] = Value(options[setting.argument], "option", setting.flag)
    return values


def literal(value: Any) -> str:
    """Return a value as the file has it (TOML)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    # Strings are JSON's, but for one character more that is escaped (toml.io, v1.0.0, String).
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(value: Any) -> str:
    """Return a value as it is read in a text."""
    return value if isinstance(value, str) else literal(value)


def told(value: Any) -> str:
    """Return a value for a message, cut where it is no value that anybody means."""
    try:
        text = f"{value:g}" if isinstance(value, float) else repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number that large"
    return text if len(text) <= 60 else f"{text[:57]}..."

"""The documents say what the code does: every field, option and command, and no other."""

from __future__ import annotations

import importlib
import re
import subprocess
import types
import typing
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from busted import events
from busted.agent.settings import Setting
from busted.agent.settings_table import SETTINGS
from busted.classifier.dialects import DIALECTS
from busted.cli.main import CANNOT_RUN, FAILED, INTERRUPTED, USAGE, main
from busted.kernel.privileges import PRIVILEGES, kept
from busted.records import LostPlace
from busted.sinks.delivery import REASONS
from busted.sinks.http import HttpSettings
from busted.sinks.kinds import KINDS, STANDARD_OUTPUT
from busted.sinks.settings import QueuedSettings, RemoteSettings, Settings, TlsSettings
from tests.requirements import ROOT, require
from tests.test_architecture import ALLOWED, PURE
from xtask import settings

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def sections(document: str) -> dict[str, str]:
    """Heading (back-quotes removed): the text below it, up to the next heading."""
    parts = re.split(r"^#+ (.+)$", (ROOT / document).read_text(), flags=re.MULTILINE)
    return {
        title.replace("`", ""): text for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def rows(text: str) -> dict[str, list[str]]:
    """Table rows by the first word in the back-quotes that stand first."""
    cells = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {re.split("[`, ]", row[0].strip("`"))[0]: row[1:] for row in cells}


# Events


def structs() -> list[type[events.Value]]:
    return [s for s in events.Value.__subclasses__() if s.__module__ == events.__name__]


ACTIONS = typing.get_args(events.Action)
NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", events.Action: "action"}


def spelling(hint: Any) -> str:
    """A type as docs/events.md spells it, links aside."""
    arguments = [a for a in typing.get_args(hint) if a is not types.NoneType]
    if hint in NAMES:
        return NAMES[hint]
    match typing.get_origin(hint):
        case typing.Literal:
            return " or ".join(f"`{value}`" for value in arguments)
        case union if union in (types.UnionType, typing.Union):
            return " or ".join(spelling(argument) for argument in arguments)
        case container if container in (tuple, dict):
            word = "list" if container is tuple else "object"
            return f"{word} of {spelling(arguments[container is dict])}"
    return str(hint.__name__)


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: struct.__name__)
def test_every_field_of_an_event_is_described_as_it_is(struct: type[events.Value]) -> None:
    described = rows(sections("docs/events.md")[struct.__name__])
    hints = typing.get_type_hints(struct)
    expected = {"type": f"`{struct.__name__}`"} if struct in ACTIONS else {}
    for field in msgspec.structs.fields(struct):
        optional = "" if field.required else ", optional"
        expected[field.name] = spelling(hints[field.name]) + optional

    types_told = {
        name: re.sub(r"\[(\w+)\]\([^)]*\)", r"\1", row[0]) for name, row in described.items()
    }
    assert types_told == expected
    assert all(len(row) == 2 and row[1] for row in described.values())


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: struct.__name__)
def test_fields_with_content_are_marked_as_such(struct: type[events.Value]) -> None:
    described = rows(sections("docs/events.md")[struct.__name__])

    marked = {name for name, row in described.items() if "**Content**" in row[1]}
    assert marked == set(events.CONTENT_FIELDS.get(struct, ()))


def test_every_dialect_is_described_and_no_other() -> None:
    described = rows(sections("docs/events.md")["Dialects"])

    assert described.keys() == {row.api for row in DIALECTS}


def test_every_place_of_loss_in_the_kernel_is_described() -> None:
    described = rows(sections("docs/events.md")["What is lost"])

    assert {place.name.lower() for place in LostPlace} <= described.keys()


# Commands


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """All commands below a group, by the words that call them."""
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = commands(main)


def test_every_command_has_a_section_and_no_other_has() -> None:
    described = {title for title in sections("docs/cli.md") if title.startswith("busted ")}

    assert described == {f"busted {name}" for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_described_with_its_choices_and_default(name: str) -> None:
    text = sections("docs/cli.md")[f"busted {name}"]
    command = COMMANDS[name]
    options = {p.opts[0]: p for p in command.params if isinstance(p, click.Option)}
    described = rows(text)

    assert described.keys() == options.keys()
    for key, option in options.items():
        default, meaning = described[key]
        if option.show_default:
            assert default == f"`{option.default}`"
        if isinstance(option.type, click.Choice):
            assert all(f"`{choice}`" in meaning for choice in option.type.choices)
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    assert all(f"`{argument.human_readable_name}`" in text for argument in arguments)


def test_every_exit_code_is_described() -> None:
    codes = {CANNOT_RUN, FAILED, INTERRUPTED, USAGE, 0}

    assert rows(sections("docs/cli.md")["Exit codes"]).keys() == {str(code) for code in codes}


# Settings


def test_what_is_made_of_the_settings_is_current() -> None:
    assert settings.PAGE.read_text() == settings.page()
    assert settings.SHIPPED_FILE.read_text() == settings.shipped()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_is_described_as_an_option_with_its_default(setting: Setting) -> None:
    default, _ = rows(sections("docs/cli.md")["busted monitor"])[setting.flag]

    assert default == setting.default_told or setting.default in (None, ())


# Outputs


GENERAL = (QueuedSettings, RemoteSettings, TlsSettings, HttpSettings)


def default(field: msgspec.structs.FieldInfo) -> str:
    """A default as docs/outputs.md spells it; what is none is described in words."""
    value = field.default
    return "" if value is None else f"`{str(value).lower() if value is False else value}`"


def settings_of(name: str) -> type[Settings]:
    kind = KINDS[name]
    module = importlib.import_module(f"busted.sinks.{kind.module}")
    found: type[Settings] = getattr(module, kind.settings)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_of_an_output_is_described_with_its_default(name: str) -> None:
    struct = settings_of(name)
    inherited = {f.name for base in struct.__bases__ for f in msgspec.structs.fields(base)}
    own = {
        field.name: default(field)
        for field in msgspec.structs.fields(struct)
        if field.name not in inherited
    }
    described = rows(sections("docs/outputs.md")[name])

    assert described.keys() == own.keys()
    for key, value in own.items():
        assert described[key][0] == value or (not value and "`" not in described[key][0])


def test_the_settings_that_outputs_share_are_described_with_their_defaults() -> None:
    described = rows(sections("docs/outputs.md")["Settings of all kinds"])
    shared = {
        field.name: default(field)
        for struct in (Settings, *GENERAL)
        for field in msgspec.structs.fields(struct)
    }

    assert described.keys() == shared.keys()
    for key, value in shared.items():
        assert described[key][0] == value or not value


def test_every_kind_of_output_has_a_section() -> None:
    assert {STANDARD_OUTPUT, *KINDS} <= sections("docs/outputs.md").keys()


def test_every_reason_of_a_loss_is_described() -> None:
    described = rows(sections("docs/outputs.md")["What is promised"])

    assert described.keys() == {*REASONS}


# Privileges


def test_every_capability_is_described_as_the_monitor_asks_for_it() -> None:
    described = rows(sections("docs/privileges.md")["Privileges"])

    assert {name: row[0] for name, row in described.items() if row[2] == "yes"}.keys() == kept(
        by_perf_events=False
    )
    assert described.keys() == {p.name for p in PRIVILEGES if not p.until}


# Architecture


def test_the_import_table_is_the_one_that_is_enforced() -> None:
    described = rows(sections("docs/architecture.md")["Who may import whom"])

    assert {
        room: set(re.findall(r"`([\w.]+)`", row[0])) for room, row in described.items()
    } == ALLOWED


def test_the_pure_rooms_are_the_ones_that_are_held_to_it() -> None:
    described = rows(sections("docs/architecture.md")["Rooms"])

    assert {room for room, row in described.items() if row[-1] == "yes"} == PURE
    assert described.keys() - {"bpf/"} == ALLOWED.keys()


# Commands of the repository, links


def targets() -> dict[str, str]:
    """Makefile target: its description, empty when it has none."""
    lines = re.findall(r"^([a-z0-9-]+):(?:[^=\n]*?## (.*))?", (ROOT / "Makefile").read_text(), re.M)
    return dict(lines)


def test_make_help_describes_every_target() -> None:
    assert [name for name, description in targets().items() if not description] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_command_in_a_document_exists(document: Path) -> None:
    code = re.findall(r"`[^`\n]+`|^```.*?^```", document.read_text(), re.MULTILINE | re.DOTALL)
    used = {name for text in code for name in re.findall(r"\bmake ([a-z0-9-]+)", text)}

    assert used <= targets().keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
            assert anchor in anchors, link


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    require("git")
    # Spelled in pieces, so that this file passes its own test.
    hosts = ["registry." + "npmjs.org", "registry." + "yarnpkg.com", "files." + "pythonhosted.org"]
    places = ["/wo" + "rk/", "/ro" + "ot/", "/opt/" + "wheels", "/tmp/" + "wt"]
    # Not inside a longer path: /proc/PID/root/ is everywhere.
    forbidden = re.compile(
        "|".join([*map(re.escape, hosts), *(rf"(?<![\w}})>.-]){re.escape(p)}" for p in places)])
    )
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in files
        if (match := forbidden.search(path.read_text(errors="replace")))
    }

    assert files
    assert found == {}

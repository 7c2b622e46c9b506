from __future__ import annotations

import pytest

from busted.identity.programs import UNKNOWN, program_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ("/usr/bin/python3.11", "python3 /srv/a.py"),
            ("/usr/bin/python3.12", "python /srv/a.py x"),
        ),
        (("/home/ada/bin/agent", "agent"), ("/home/bob/bin/agent", "agent --fast")),
        (("/opt/agent-1.2.3/agent", "agent"), ("/opt/agent-1.10.0/agent", "agent")),
        (("/usr/bin/node", "node -r x /srv/a.js"), ("/usr/bin/node", "node --inspect /srv/a.js")),
        (("/usr/bin/python3", "python -m agents.run"), ("/venv/bin/python3", "py -m agents.run 1")),
        (
            ("/nix/store/0a1b2c3d4e5f6a7b-x/agent", "a"),
            ("/nix/store/9f8e7d6c5b4a3f2e-x/agent", "a"),
        ),
    ],
)
def test_versions_users_and_other_arguments_make_no_other_program(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    first, second = (program_of(exe, line.split()) for exe, line in (one, other))

    assert (first.key, first.configuration) == (second.key, second.configuration)
    assert not first.generic


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("/usr/bin/python3", "python /srv/a.py"), ("/usr/bin/python3", "python /srv/b.py")),
        (("/usr/bin/python3", "python -m a"), ("/usr/bin/python3", "python -m b")),
        (("/opt/agent1/run", "run"), ("/opt/agent2/run", "run")),
        (("/usr/bin/python3", "python /srv/a.py"), ("/usr/bin/node", "node /srv/a.py")),
        (("/bin/x", "x --config a.yaml"), ("/bin/x", "x --config b.yaml")),
        (("/bin/x", "x --agent=a"), ("/bin/x", "x --agent=b")),
    ],
)
def test_another_script_place_or_configuration_is_another_program(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    first, second = (program_of(exe, line.split()) for exe, line in (one, other))

    assert (first.key, first.configuration) != (second.key, second.configuration)


@pytest.mark.parametrize(
    ("exe", "argv"),
    [
        ("/usr/bin/curl", ("curl", "https://api.openai.com")),
        ("/usr/bin/python3", ("python3",)),
        ("/usr/bin/python3", ("python3", "-c", "print(1)")),
        ("/bin/sh", ("sh", "-c", "x")),
        (None, ()),
    ],
)
def test_programs_that_run_what_their_user_types_are_generic(
    exe: str | None, argv: tuple[str, ...]
) -> None:
    assert program_of(exe, argv, "x").generic


def test_a_script_that_renamed_itself_is_known_by_that_name() -> None:
    assert program_of("/usr/bin/node", ("my-agent",)).name == "my-agent"


def test_an_executable_says_who_it_is_and_an_interpreter_does_not() -> None:
    assert not program_of("/usr/bin/agent", ("agent",)).interpreted
    assert program_of("/usr/bin/python3", ("python3", "a.py")).interpreted


@pytest.mark.parametrize(
    "argv", [(), ("",), ("-m",), ("python", "-m"), ("python", "-r"), ("x", "--config")]
)
def test_command_lines_that_end_early_are_taken_as_they_are(argv: tuple[str, ...]) -> None:
    assert program_of("/usr/bin/python3", argv).key.startswith("python")


def test_nothing_is_known_of_a_process_without_a_name() -> None:
    assert program_of(None, ()) == UNKNOWN

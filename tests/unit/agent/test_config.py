from pathlib import Path

import pytest

from busted.agent.config import DEFAULT_TABLES, ConfigError, Tables
from busted.agent.config_file import read
from busted.classifier.pii import Scan
from busted.events import Usage
from busted.sinks.kinds import parse
from tests.requirements import ROOT

PROVIDER = """
[[providers]]
id = "acme"
name = "Acme"
hosts = ["llm.acme.example"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "busted.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def read_tables(path: Path) -> Tables:
    return read(path).tables


def test_the_example_in_the_documentation_is_read(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "cli.md").read_text()
    example = document.split("```toml\n")[1].split("```")[0]

    tables = read_tables(written(tmp_path, example))
    options = tables.options

    acme = options.providers.find("a.llm.acme.example", "/v1/x")
    assert acme is not None
    assert (acme.id, acme.name, acme.api) == ("acme", "Acme gateway", "openai.chat")
    nim = options.providers.find("localhost:8000", "/v1/x")
    assert nim is not None
    assert nim.id == "nim"
    usage = Usage(input=1_000_000, output=0)
    assert options.prices.cost("acme", "acme-large-latest", usage) == 1.5
    assert tables.sensitive.category("/home/u/.acme/x") == "acme"
    assert tables.sensitive.category("/home/u/.acme/public.ini") is None
    assert tables.sensitive.category("/home/u/.env") == "environment"
    assert tables.agents.recognise("/opt/acme/bin/acme-agent", ["acme-agent"]) == "acme-agent"
    assert tables.outputs == (parse("file:/var/log/busted/events.jsonl"),)


def test_an_output_that_makes_no_sense_names_its_row(tmp_path: Path) -> None:
    good = "[[outputs]]\nkind = 'file'\ntarget = '/x'\n"
    for wrong in ("[[outputs]]\nkind = 'fax'\n", "[[outputs]]\nkind = 'file'\n"):
        with pytest.raises(ConfigError, match="row 2 of outputs: "):
            read_tables(written(tmp_path, good + wrong))
    with pytest.raises(ConfigError, match="row 1 of outputs: no table"):
        read_tables(written(tmp_path, "outputs = [7]"))


def test_an_operators_agent_wins_over_ours(tmp_path: Path) -> None:
    path = written(tmp_path, "agents = [{name = 'mine', executables = ['claude', 'own']}]")
    agents = read_tables(path).agents

    assert agents.recognise("/bin/claude", ["claude"]) == "mine"
    assert agents.recognise("/bin/codex", ["codex"]) == "codex"
    assert {"own", "claude", "codex"} <= agents.words


def test_rows_of_an_operator_win_over_ours(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        providers = [{id = "mine", name = "Mine", hosts = ["*.openai.com"]}]
        prices = [{provider = "openai", models = ["gpt-4o"], input = 1, output = 1}]
        """,
    )
    options = read_tables(path).options

    found = options.providers.find("api.openai.com", "/v1/x")
    assert found is not None
    assert found.id == "mine"
    usage = Usage(input=1_000_000, output=0)
    assert options.prices.cost("openai", "gpt-4o", usage) == 1.0
    assert options.prices.cost("openai", "gpt-4o-mini", usage) == 0.15


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read_tables(written(tmp_path, "")).options.providers.find("api.openai.com") is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("providers = 1", "providers is no list of tables: begin each with [[providers]]"),
        (PROVIDER + PROVIDER.replace("id =", "ID ="), "row 2 of providers: Object "),
        (PROVIDER.replace('"acme"', '"Acme"'), "row 1 of providers: Expected `str` matching"),
        (PROVIDER.replace("llm.acme.example", "*"), "row 1 of providers: Expected `str` matching"),
        (PROVIDER + "hostnames = []", "row 1 of providers: Object contains unknown field"),
        (PROVIDER + "local_ports = [1]", "row 1 of providers: it needs either hosts or local_p"),
        (
            PROVIDER.replace("hosts = [", "local_ports = [1]\n# "),
            "row 1 of providers: local_ports need paths: a port alone tells nothing",
        ),
        (PROVIDER + 'api = "openai"', "row 1 of providers: no api is called 'openai'; there are "),
        (
            "agents = [{executables = ['x']}]",
            "row 1 of agents: Object missing required field `name`",
        ),
        ("agents = [{name = 'x', exe = 'y'}]", "row 1 of agents: Object contains unknown field"),
        (
            "sensitive = [{category = 'x', paths = ['secret*']}]",
            "row 1 of sensitive: a path without a name to look for",
        ),
        ("prices = [1]", "row 1 of prices: Expected `object`, got `int`"),
        (
            "[[prices]]\nprovider = 'x'\nmodels = ['m']\ninput = -1\noutput = 1",
            "row 1 of prices: Expected `float` >= 0.0 - at `$.input`",
        ),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as raised:
        read_tables(path)
    assert str(raised.value).startswith(str(path))
    assert told in str(raised.value)


def test_the_rules_in_the_documentation_are_read(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "pii.md").read_text()
    example = document.split("```toml\n")[1].split("```")[0]

    scanner = read_tables(written(tmp_path, example)).options.scanner

    def kinds(text: str) -> list[str]:
        return [finding.kind for finding in scanner.find(text).findings]

    assert kinds("staff: EMP-123455") == ["employee_id"]
    assert kinds("staff: EMP-123456") == []  # the check digit
    assert kinds("EMP-123455") == []  # no word before it
    assert kinds("Telefon: 030 23125 123") == ["phone"]
    assert kinds("BSN 111222333, from 203.0.113.9") == ["nl_bsn", "ipv4"]
    assert scanner.redact("9f1c-planted-value-77", b"k").startswith("<canary:")


def test_packs_and_regions_are_off_unless_chosen() -> None:
    scanner = DEFAULT_TABLES.options.scanner

    assert scanner.find("BSN 111222333, from 203.0.113.9, Telefon: 030 23125 123") == Scan()


RULE = "[[pii.rules]]\nkind = 'employee_id'\npattern = 'E[0-9]{6}'\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            RULE.replace("E[", "E(["),
            "row 1 of pii.rules, 'employee_id': its pattern is wrong: M",
        ),
        (
            RULE.replace("E[0-9]{6}", "a*"),
            "'employee_id': its pattern is wrong: Pattern mat",
        ),
        (RULE.replace("E[", "(?<=x)["), "its pattern is wrong: Zero-width assertions are not supp"),
        (
            RULE + RULE.replace("'employee_id'", "'Employee ID'"),
            "row 2 of pii.rules: Expected `str`",
        ),
        (RULE + "check = 'sum'", "row 1 of pii.rules: Invalid enum value 'sum'"),
        (RULE + "confidence = 2", "row 1 of pii.rules: Expected `float` <= 1.0"),
        (
            "[pii]\nphone_region = 'Germany'",
            "pii: no region is called 'Germany'; write a c",
        ),
        ("[pii]\npacks = ['ids']", "pii: Invalid enum value 'ids' - at `$.packs[0]`"),
        ("[pii]\nphone = 1", "pii: Object contains unknown field `phone`"),
        ("pii = 1", "pii is no table: begin it with [pii]"),
        (
            "[[canaries]]\nname = 'x'\nvalue = 'short'",
            "row 1 of canaries: Expected `str` of l",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as raised:
        read_tables(path)
    assert str(raised.value).startswith(str(path))
    assert told in str(raised.value)

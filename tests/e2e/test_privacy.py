"""What the operator chose not to show is in no output, whatever the format and the place."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product, zip_longest
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.monitor import Monitor
from tests.pii_corpus import Positive, positives
from tests.requirements import require

# Parts that only together look like something that could be somebody's.
KEY = "sk-" + "proj-" + "".join("aZ3kQ9xW7b"[i * 7 % 10] for i in range(48))
HEADER_KEY = "sk-" + "ant-api03-" + "".join("Lm5Rt8vY2c"[i * 3 % 10] for i in range(48))
EMAIL = "quincy.planted" + "@" + "example.org"
CARD = " ".join(["4111", *["1111"] * 3])  # the card networks' own test number
SECRETS = {"key": KEY, "header": HEADER_KEY, "email": EMAIL, "card": CARD}
# Nobody's secret, but what was said.
WORDS = "zanzibar quokka"
EVERY_KIND = 120


def planted() -> list[Positive]:
    """Texts with secrets of every kind, each of which stands in one line."""
    by_kind: dict[str, list[Positive]] = {}
    for one in positives():
        if one.value and "\n" not in one.text:
            by_kind.setdefault(one.kind, []).append(one)
    rows = zip_longest(*by_kind.values())
    return [one for row in rows for one in row if one is not None][:EVERY_KIND]


PLANTED = planted()
PROMPT = f"{WORDS}: {EMAIL} pays {CARD} with {KEY}, ok?\n" + "\n".join(one.text for one in PLANTED)

FORMATS, LEVELS = ("text", "verbose", "json"), ("none", "redacted")
CLIENTS = ("curl_openai_stream", "openai_tools", "anthropic_tools_stream", "anthropic_sync")

Outputs = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def outputs(test_bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    """All that monitors with each format and level wrote, to stdout, stderr and a file, in one run.

    The prompt stands in arguments, requests, tool calls, tool results and answers.
    """
    require("e2e")
    directory = tmp_path_factory.mktemp("outputs")

    def file(output: str, content: str) -> Path:
        return directory / f"{output}-{content}.jsonl"

    with ExitStack() as stack:
        monitors = {
            (output, content): stack.enter_context(
                Monitor(
                    *("--output", "stdout", "--output", f"file:{file(output, content)}"),
                    output=output,
                    content=content,
                )
            )
            for output, content in [*product(FORMATS, LEVELS), ("json", "full")]
        }
        keys = {"OPENAI_API_KEY": HEADER_KEY, "ANTHROPIC_API_KEY": HEADER_KEY}
        pids = [test_bed.ask(client, PROMPT, environment=keys).pid for client in CLIENTS]
        for pid in pids:
            for (output, _), monitor in monitors.items():
                if output == "json":
                    monitor.wait_for(pid, "Response")
        for monitor in monitors.values():
            assert monitor.stop() == 130, monitor.stderr
        assert all(file(*which).stat().st_size for which in monitors)
        yield {
            which: "".join([*monitor.stdout, *monitor.stderr, file(*which).read_text()])
            for which, monitor in monitors.items()
        }


def test_the_secrets_were_captured_or_these_tests_would_prove_nothing(outputs: Outputs) -> None:
    full = outputs["json", "full"]
    said = {json.loads(line)["action"]["type"] for line in full.splitlines() if line[0] == "{"}

    assert {"Prompt", "Response", "ToolCall", "ToolResult"} <= said
    assert all(secret in full for name, secret in SECRETS.items() if name != "header")
    assert WORDS in full
    assert len(PLANTED) == EVERY_KIND
    assert len({one.kind for one in PLANTED}) > 30
    assert {one.kind for one in PLANTED if json.dumps(one.value)[1:-1] not in full} == set()


@pytest.mark.parametrize(("output", "content"), list(product(FORMATS, LEVELS)))
def test_no_planted_secret_of_any_kind_is_in_any_output(
    outputs: Outputs, output: str, content: str
) -> None:
    shown = outputs[output, content]
    # Nor in two lines, where text was wrapped, nor as JSON spells it.
    unwrapped = "".join(shown.split())
    leaked = {
        one.kind
        for one in PLANTED
        if one.value in shown
        or "".join(one.value.split()) in unwrapped
        or json.dumps(one.value)[1:-1] in shown
    }

    assert leaked == set()


def test_the_same_secret_has_the_same_hash_in_every_event(outputs: Outputs) -> None:
    events = [
        json.loads(line) for line in outputs["json", "redacted"].splitlines() if line[0] == "{"
    ]
    hashes: dict[str, set[str]] = {}
    for event in events:
        for finding in event["action"].get("pii", ()):
            if finding["kind"] == "us_ssn":
                hashes.setdefault(event["action"]["type"], set()).add(finding["hash"])

    assert len(hashes) > 1
    assert set.intersection(*hashes.values())


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("output", "content"), list(product(FORMATS, LEVELS)))
def test_a_planted_secret_is_in_no_output(
    outputs: Outputs, output: str, content: str, secret: str
) -> None:
    assert SECRETS[secret] not in outputs[output, content]
    # Nor in two lines, where text was wrapped.
    assert SECRETS[secret].replace(" ", "") not in "".join(outputs[output, content].split())


@pytest.mark.parametrize("output", FORMATS)
def test_none_tells_nothing_of_what_was_said(outputs: Outputs, output: str) -> None:
    assert all(word not in outputs[output, "none"] for word in WORDS.split())


@pytest.mark.parametrize("output", FORMATS)
def test_redacted_keeps_the_words_around_a_secret(outputs: Outputs, output: str) -> None:
    assert WORDS in outputs[output, "redacted"]


@pytest.mark.parametrize("output", FORMATS)
def test_none_still_tells_who_spoke_with_which_model(outputs: Outputs, output: str) -> None:
    assert "gpt-4o-mini" in outputs[output, "none"]
    assert "claude-sonnet-4-5" in outputs[output, "none"]

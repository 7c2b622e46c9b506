import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from busted.agent.content import ContentFilter, Level
from busted.agent.private_log import PrivateFormatter, obey, told

SECRET = "sk-" + "a1B2c3D4e5" * 4
WORDS = "zanzibar quokka"


def failure() -> BaseException:
    try:
        try:
            raise ValueError(f"{WORDS} {SECRET}")
        except ValueError as error:
            raise KeyError(f"\n{SECRET}") from error
    except KeyError as error:
        return error


def formatted(level: Level, name: str, message: str, *arguments: object) -> str:
    error = failure()
    record = logging.LogRecord(
        name, logging.ERROR, "", 0, message, arguments, (type(error), error, error.__traceback__)
    )
    return PrivateFormatter("busted: %(message)s", ContentFilter(level, b"k" * 16)).format(record)


@pytest.mark.parametrize("level", ["none", "redacted"])
@pytest.mark.parametrize("name", ["busted.agent.pipeline", "asyncio"])
def test_no_log_holds_a_secret_below_full(level: Level, name: str) -> None:
    text = formatted(level, name, "got %r", f"\n{SECRET}")

    assert SECRET not in text
    assert "in failure" in text
    assert "KeyError" in text
    assert "ValueError" in text


def test_none_tells_no_words_of_libraries_and_exceptions() -> None:
    text = formatted("none", "asyncio", "got %r", WORDS)

    assert "got %r" in text
    assert not set(WORDS.split()) & set(text.split())


def test_redacted_keeps_the_words_around_a_secret() -> None:
    text = formatted("redacted", "asyncio", "got %s", f"{WORDS} {SECRET}")

    assert f"got {WORDS} <openai_key:" in text
    assert f"ValueError: {WORDS} <openai_key:" in text


def test_full_tells_everything() -> None:
    assert SECRET in formatted("full", "asyncio", "got %s", SECRET)


def test_a_circle_of_causes_comes_to_an_end() -> None:
    one, other = ValueError(SECRET), ValueError(SECRET)
    one.__cause__, other.__cause__ = other, one

    assert SECRET not in told(one, "none")


@pytest.fixture
def hooks() -> Iterator[None]:
    before = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = before


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize("level", ["none", "redacted"])
def test_what_nobody_caught_is_told_without_secrets(
    level: Level, capsys: pytest.CaptureFixture[str]
) -> None:
    obey(ContentFilter(level, b"k" * 16))
    error = failure()
    sys.excepthook(type(error), error, error.__traceback__)

    def fail() -> None:
        raise failure()

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    shown = capsys.readouterr().err
    assert shown.count("ValueError") >= 2
    assert SECRET not in shown

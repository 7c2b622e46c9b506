from pathlib import Path

import click
import pytest

from busted.agent.config import Settings
from busted.agent.hold import Terms
from busted.cli.monitor import monitor
from busted.cli.settings import chosen, settings_of
from busted.enrich.pod_watch import KubernetesSettings


def settings(*options: str) -> Settings:
    return settings_of(chosen(monitor.make_context("busted monitor", list(options)), {}))


def test_without_options_settings_are_those_of_the_monitor_itself() -> None:
    assert settings() == Settings(hold=None)


def test_every_option_arrives_where_it_is_obeyed() -> None:
    found = settings(
        *("--buffer", "perf", "--ring-bytes", "65536", "--max-call-bytes", "40000"),
        *("--duration", "2.5", "--pid", "7", "--pid", "8", "--comm", "node", "--record", "r"),
        *("--identity-store", "i", "--network", "all", "--file-monitor", "--max-file-bytes", "9"),
        *("--policy", "p", "--audit-log", "a", "--enforce", "--on-deny", "kill"),
        *("--verdict-seconds", "5", "--deny-link-local", "--hold-seconds", "3"),
        *("--kubernetes", "on", "--kubernetes-node", "node-1", "--kubernetes-label", "app"),
        *("--kubernetes-label", "tier", "--kubeconfig", "/k"),
        *("--hold-bytes", "20000", "--hold-timeout-action", "open"),
        *("--hold-host", "mcp.internal", "--hold-host", "localhost"),
    )

    assert found.selection.pids == {7, 8}
    assert found.selection.names == {"node"}
    assert (found.buffer, found.ring_bytes, found.max_call_bytes) == ("perf", 65536, 40000)
    assert (found.duration, found.record, found.network) == (2.5, Path("r"), "all")
    assert (found.identity_store, found.policy, found.audit_log) == tuple(map(Path, "ipa"))
    assert (found.files, found.max_file_bytes) == ("all", 9)
    assert (found.enforcement, found.on_error, found.on_deny) == ("on", "deny", "kill")
    assert (found.verdict_seconds, found.deny_link_local) == (5.0, True)
    assert found.kubernetes == KubernetesSettings("on", "node-1", ("app", "tier"), "/k")
    hosts = ("mcp.internal", "localhost")
    assert found.hold == Terms(seconds=3.0, bytes=20000, fails_open=True, hosts=hosts)


def test_what_only_tells_holds_nothing_and_denies_what_policy_cannot_answer() -> None:
    found = settings("--policy", "p", "--shadow")

    assert (found.enforcement, found.on_error, found.hold) == ("shadow", "deny", None)
    assert settings("--policy", "p", "--enforce", "--no-hold").hold is None
    assert settings("--policy", "p", "--enforce", "--on-error", "allow").on_error == "allow"
    assert settings("--policy", "p").on_error == "audit"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--on-error", "deny"], "--on-error is of no use without --policy."),
        (["--audit-log", "a"], "--audit-log: an audit log needs --policy or --reveal."),
        (["--reveal", "5", "--socket", "s"], "--reveal: revealing needs --socket and --audit-log."),
        (["--reveal", "5", "--audit-log", "a"], "revealing needs --socket and --audit-log."),
        (
            ["--reveal", "5", "--socket", "s", "--audit-log", "a", "--content", "full"],
            "--reveal: revealing needs --content redacted.",
        ),
        (["--enforce"], "--enforce: enforcing needs --policy."),
        (["--shadow"], "--shadow: enforcing needs --policy."),
        (["--enforce", "--policy", "p", "--network", "none"], "enforcing needs connections"),
        (
            ["--on-deny", "kill", "--deny-link-local"],
            "--on-deny and --deny-link-local are of no use without --enforce or --shadow.",
        ),
        (["--hold-seconds", "3", "--policy", "p", "--shadow"], "--hold-seconds is of no use"),
        (["--hold-bytes", "20000", "--enforce", "--no-hold", "--policy", "p"], "--hold-bytes is o"),
    ],
)
def test_an_option_that_would_have_no_effect_is_a_mistake_in_use(
    options: list[str], told: str
) -> None:
    with pytest.raises(click.UsageError) as raised:
        settings(*options)
    assert told in raised.value.message


def test_an_option_out_of_bounds_tells_the_bounds() -> None:
    with pytest.raises(click.BadParameter, match="500 is not a number of seconds from"):
        settings("--hold-seconds", "500")

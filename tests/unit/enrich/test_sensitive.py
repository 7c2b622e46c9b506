"""Which files are sensitive, and what the kernel side looks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.enrich.sensitive import QUIET_DIRECTORIES, Sensitive, SensitiveFiles, is_quiet
from busted.enrich.sensitive_table import SENSITIVE

files = SensitiveFiles(SENSITIVE)


@pytest.mark.parametrize(
    ("path", "category"),
    [
        ("/srv/app/.env", "environment"),
        ("/srv/app/.env.production", "environment"),
        ("/home/u/.ssh/id_ed25519", "ssh"),
        ("/home/u/.ssh/config", "ssh"),
        ("/mnt/backup/id_rsa", "ssh"),
        ("/etc/ssh/ssh_host_rsa_key", "ssh"),
        ("/home/u/.gnupg/private-keys-v1.d/x.key", "gpg"),
        ("/etc/nginx/tls/site.key", "key"),
        ("/etc/letsencrypt/live/x/privkey1.pem", "key"),
        ("/home/u/.aws/credentials", "cloud"),
        ("/home/u/.aws/sso/cache/x.json", "cloud"),
        ("/home/u/.kube/config", "cloud"),
        ("/srv/infra/prod.tfvars", "cloud"),
        ("/home/u/.netrc", "credentials"),
        ("/etc/shadow", "credentials"),
        ("/home/u/.config/gh/hosts.yml", "credentials"),
        ("/home/u/.bash_history", "history"),
        ("/home/u/.claude/settings.json", "agent"),
        ("/srv/app/CLAUDE.md", "agent"),
        ("/srv/app/.cursor/rules/x.mdc", "agent"),
        ("/srv/app/skills/pdf/SKILL.md", "agent"),
        ("/srv/app/.mcp.json", "mcp"),
    ],
)
def test_files_are_sensitive_wherever_they_are(path: str, category: str) -> None:
    assert files.category(path) == category


@pytest.mark.parametrize(
    "path",
    [
        "/srv/app/.env.example",
        "/srv/app/environment.py",
        "/srv/app/env",
        "/home/u/.ssh/id_rsa.pub",
        "/home/u/.ssh/known_hosts",
        "/etc/ssh/ssh_host_rsa_key.pub",
        "/etc/ssl/certs/ca.pem",
        "/backup/etc/shadow",
        "/srv/config",
        "/srv/app/.git/config",
        "/srv/app/claude.md",
        "/srv/app/monkey",
        "/home/u/.sshx/id",
        "/",
        "",
    ],
)
def test_files_that_only_look_like_it_are_not(path: str) -> None:
    assert files.category(path) is None


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (".env", ".env"),
        (".env.*", ".env"),
        ("*.key", ".key"),
        ("*-key.pem", ".pem"),
        (".ssh/", ".ssh"),
        (".aws/credentials", "credentials"),
        (".kube/config", ".kube"),
        (".config/gh/hosts.yml", "gh"),
        ("skills/*/SKILL.md", "SKILL.md"),
        ("/etc/shadow", "shadow"),
        ("secret*", ""),
        ("*", ""),
    ],
)
def test_the_kernel_side_looks_for_what_little_else_has(pattern: str, word: str) -> None:
    assert SensitiveFiles([Sensitive("x", (pattern,))]).words == {word}


def test_a_row_can_take_files_out_of_those_after_it() -> None:
    changed = SensitiveFiles([Sensitive("none", (".npmrc", "/srv/demo/.env")), *SENSITIVE])
    assert changed.category("/home/u/.npmrc") is None
    assert changed.category("/srv/demo/.env") is None
    assert changed.category("/srv/app/.env") == "environment"


def words_found(path: str) -> set[str]:
    """The words that the kernel side sees in a path."""
    parts = path.split("/")
    return {
        found
        for part in parts
        for found in (part, *(part[: m.start()] for m in re.finditer(r"\.", part)))
    } | {"." + part.rpartition(".")[2] for part in parts}


@pytest.mark.parametrize("row", SENSITIVE, ids=lambda row: row.category)
def test_each_pattern_of_the_table_is_seen_by_the_kernel_side_and_known_here(
    row: Sensitive,
) -> None:
    for pattern in row.paths:
        path = pattern.replace("*", "a")
        path = path if path.startswith("/") else f"/srv/{path}"
        path += "x" if path.endswith("/") else ""
        assert files.category(path), path
        assert words_found(path) & files.words, path


PARTS = st.sampled_from([".env", ".ssh", "id_rsa", "x", ".key", "a.key", "etc", "shadow", ".aws"])


@given(st.lists(PARTS | st.text("./ *ab\n\0", max_size=5), max_size=6).map("/".join))
def test_what_is_sensitive_has_a_word_that_the_kernel_side_looks_for(path: str) -> None:
    if files.category(path) is not None:
        assert words_found(path) & files.words


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/etc/ld.so.cache",
        "/home/u/app/node_modules/x/index.js",
        "/opt/venv/lib/python3.12/site-packages/x.py",
        "/srv/__pycache__/x.pyc",
    ],
)
def test_libraries_and_caches_are_quiet(path: str) -> None:
    assert is_quiet(path)


@pytest.mark.parametrize("path", ["/usr/libx/a", "/srv/app/a.py", "/srv/node_modules", "/etc/x"])
def test_other_files_are_not(path: str) -> None:
    assert not is_quiet(path)


def test_quiet_directories_are_absolute_or_names() -> None:
    assert all(path.startswith("/") or "/" not in path for path in QUIET_DIRECTORIES)
    assert all(str(Path(path)) == path for path in QUIET_DIRECTORIES)
    # As much of a name as bpf/file.bpf.c looks at.
    assert all(len(path) < 31 for path in QUIET_DIRECTORIES if not path.startswith("/"))

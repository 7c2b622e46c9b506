"""Who serves a model, by the name of the host.

A host matches on label boundaries only, so neither `notopenai.com` nor
`openai.com.evil.example` is OpenAI. A name is the only evidence: an address says nothing,
since many share one behind a content network. A local server's port is a hint, taken on this
very host only and together with a path; `requests` wants the body's shape with it.

The rows stand in `providers_table`; an operator's come before them. They are found by a
look-up for each label of the name, however many rows there are.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

# RFC 1035 section 2.3.4: "names 255 octets or less".
MAX_HOST_CHARS = 255

# A host talks to few names, again and again; a thousand of them take some 300 KB.
MAX_REMEMBERED = 1000

ProviderId = Annotated[str, Meta(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=64)]
# A name in lower case, in which one label may have a star; the last one may not.
HostPattern = Annotated[
    str,
    Meta(
        pattern=r"^([a-z0-9_-]+\.)*([a-z0-9_-]*\*[a-z0-9_-]*\.)?([a-z0-9_-]+\.)*[a-z0-9_-]+$",
        max_length=MAX_HOST_CHARS,
    ),
]
PathStart = Annotated[str, Meta(pattern="^/", max_length=256)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row. `*.example.com` is any host below it, `a-*.example.com` one label by its start.

    `paths` are the beginnings of what belongs to its models, where the host serves more than
    that; `api` is the dialect to assume where nothing else tells it. A local server has
    `local_ports` instead of hosts: where it listens on this host unless told otherwise.
    """

    id: ProviderId
    name: str
    hosts: tuple[HostPattern, ...] = ()
    api: str | None = "openai.chat"
    paths: tuple[PathStart, ...] = ()
    local_ports: tuple[Port, ...] = ()


LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def host_name(host: str) -> tuple[str, int | None]:
    """Split a Host header or server name in the bare name, lower case, and the port if given."""
    name, port = host.strip().lower(), ""
    if name.startswith("["):  # RFC 3986 section 3.2.2: an IPv6 address stands in brackets
        name, _, port = name[1:].partition("]")
        port = port.removeprefix(":")
    elif name.count(":") == 1:
        name, _, port = name.partition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else None
    return name.removesuffix("."), number


class Providers:
    """The rows, ready to be searched; where several fit, the first one wins."""

    def __init__(self, rows: Iterable[Provider]) -> None:
        """Index the rows by what of their hosts is fixed."""
        self._by_name: defaultdict[str, list[tuple[int, Provider]]] = defaultdict(list)
        self._by_end: defaultdict[str, list[tuple[int, str, Provider]]] = defaultdict(list)
        self._by_port: defaultdict[int, list[tuple[int, Provider]]] = defaultdict(list)
        self._names: dict[str, str] = {}
        self._known = functools.lru_cache(MAX_REMEMBERED)(self._look_up)
        for rank, row in enumerate(rows):
            self._names.setdefault(row.id, row.name)
            for host in row.hosts:
                if "*" in host:
                    _, _, end = host.partition("*")
                    self._by_end[end.partition(".")[2]].append((rank, host, row))
                else:
                    self._by_name[host].append((rank, row))
            for port in row.local_ports:
                self._by_port[port].append((rank, row))

    def find(self, host: str | None, path: str | None = None) -> Provider | None:
        """Return who serves `path` at `host`, or None; without a path, who may be meant."""
        if not host or len(host) > MAX_HOST_CHARS:
            return None
        for row, is_local in self._known(host):
            if path is None:
                if not is_local:
                    return row
            elif path.startswith(row.paths) or not (row.paths or is_local):
                return row
        return None

    @property
    def local_ports(self) -> tuple[int, ...]:
        """The ports where models are served on a host unless told otherwise."""
        return tuple(self._by_port)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The patterns of all hosts."""
        by_end = (pattern for rows in self._by_end.values() for _, pattern, _ in rows)
        return (*self._by_name, *by_end)

    def name(self, provider_id: str | None) -> str | None:
        """Return the display name of a provider."""
        return self._names.get(provider_id) if provider_id else None

    def _look_up(self, host: str) -> list[tuple[Provider, bool]]:
        """Return the rows that fit, the first one first, and whether by a port of this host."""
        name, port = host_name(host)
        found = [(rank, row, False) for rank, row in self._at(name)]
        if name in LOOPBACK and port is not None:
            found += [(rank, row, True) for rank, row in self._by_port.get(port, ())]
        found.sort(key=lambda entry: entry[0])
        return [(row, is_local) for _, row, is_local in found]

    def _at(self, name: str) -> Iterator[tuple[int, Provider]]:
        yield from self._by_name.get(name, ())
        end = name
        while end:
            _, _, end = end.partition(".")
            for rank, pattern, row in self._by_end.get(end, ()):
                if _matches(name, pattern):
                    yield rank, row


def _matches(name: str, pattern: str) -> bool:
    before, _, after = pattern.partition("*")
    middle = name[len(before) : len(name) - len(after)]
    return (
        len(name) > len(before) + len(after)
        and name.startswith(before)
        and name.endswith(after)
        # A star within a name is one label; a leading `*.` takes any number of them.
        and (pattern.startswith("*.") or "." not in middle)
        and not middle.startswith(".")
    )

"""Invariant: a configuration file is read, or refused with a reason that names it."""

import os
from pathlib import Path

from busted.agent.config import ConfigError
from busted.agent.config_file import read
from tests.unit.kernel.elf_bytes import opened

SEEDS = [
    b'[[providers]]\nid = "mine"\nname = "Mine"\nhosts = ["*.corp"]\napi = "openai.chat"\n',
    b'[[providers]]\nid = "l"\nname = "L"\nlocal_ports = [1]\npaths = ["/v1/"]\n',
    b'[[prices]]\nprovider = "openai"\nmodels = ["gpt-4o"]\ninput = 1\noutput = 2.5\nabove = 3\n',
    b"[monitor]\nring_bytes = 65536\npid = [1]\n[hold]\nseconds = 0.5\n",
    b'[hold]\nbytes = 0x1ffff\n[metrics]\nlisten = "[::1]:1"\n',
    b'prices = 1\n"\\uD800" = []',
]


def one_input(data: bytes) -> None:
    with opened(data) as fd:
        os.fchmod(fd, 0o600)  # else it is refused unread
        path = Path(f"/proc/self/fd/{fd}")
        try:
            read(path)
        except ConfigError as error:
            assert str(path) in str(error)

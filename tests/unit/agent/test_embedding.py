from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from busted.agent.config import ConfigError
from busted.agent.config_file import read
from busted.agent.embedding import (
    MAX_FILES,
    TAG_BYTES,
    EmbedError,
    EmbedSettings,
    load,
    model_hash,
)
from tests.identity.tiny_model import DIMENSIONS, make
from tests.requirements import ROOT

TEXTS = ("you work in billing", "you work in shipping")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("embedding") / "model", TEXTS, [("billing", "shipping")])


def settings(model: Path) -> EmbedSettings:
    return EmbedSettings(model=str(model), sha256=model_hash(model))


def test_a_hash_is_what_the_tools_of_every_host_print(model: Path) -> None:
    command = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.check_output(["sh", "-c", command], cwd=model, text=True)

    assert model_hash(model) == printed.split()[0]


def test_what_means_the_same_is_the_same_and_what_is_unknown_means_nothing(model: Path) -> None:
    embed = load(settings(model))

    first, second = map(embed, TEXTS)
    assert first == second != embed("you")
    assert len(first) == TAG_BYTES + DIMENSIONS // 8
    assert first[:TAG_BYTES].hex() == model_hash(model)[: 2 * TAG_BYTES]
    assert embed("nobody knows this") == embed("") == b""


def test_another_model_than_the_pinned_one_is_refused(model: Path, tmp_path: Path) -> None:
    pinned = model_hash(model)
    other = make(tmp_path / "model", TEXTS)

    with pytest.raises(EmbedError, match=f"pinned: its hash is {model_hash(other)}"):
        load(EmbedSettings(model=str(other), sha256=pinned))


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(EmbedError, match="is no directory"):
        model_hash(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EmbedError, match="cannot load the model"):
        load(settings(tmp_path))
    for i in range(MAX_FILES):
        (tmp_path / str(i)).touch()
    with pytest.raises(EmbedError, match="more than"):
        model_hash(tmp_path)


def test_without_the_extra_it_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", None)

    with pytest.raises(EmbedError, match=r"pip install 'busted\[embed\]'"):
        load(settings(model))


def test_the_configuration_file_names_it(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "busted.toml"
    told = {"model": str(model), "sha256": model_hash(model)}
    file.write_text("[embed]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in told.items()))

    tables = read(file).tables
    assert tables.embed is not None
    assert tables.embed(TEXTS[0])

    file.write_text(file.read_text().replace(told["sha256"], "0" * 64))
    with pytest.raises(ConfigError, match=r"embed: the model in .* is not the one"):
        read(file)
    file.write_text("[embed]\nmodel = 1\n")
    with pytest.raises(ConfigError, match="embed"):
        read(file)


def test_loading_and_embedding_ask_nobody_on_the_network(model: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "asked = []\n"
        "sys.addaudithook(lambda name, _: name in ('socket.connect', 'socket.getaddrinfo')"
        " and asked.append(name))\n"
        "from busted.agent.embedding import EmbedSettings, load, model_hash\n"
        "model = Path(sys.argv[1])\n"
        "embed = load(EmbedSettings(model=str(model), sha256=model_hash(model)))\n"
        "assert embed('you work') and not asked, asked\n"
        "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect_ex('/nowhere')\n"
        "assert asked, 'the hook would have seen it'\n"
    )
    command = [sys.executable, "-c", script, str(model)]
    finished = subprocess.run(
        command, cwd=ROOT / "src", capture_output=True, text=True, check=False
    )

    assert finished.returncode == 0, finished.stderr

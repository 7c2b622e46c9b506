"""What a system prompt means, by a model of static embeddings in a local directory.

Strategy: the directory is pinned by a hash, and compared before anything in it is read as a model;
nothing is ever fetched. Of a vector its signs are kept, 32 bytes for 256 dimensions, which is what
`busted.identity.similarity` compares. One text takes some tenths of a millisecond.

Left out: models that are run (ONNX): a prompt would take longer than all else of an event.

Source: https://github.com/MinishLab/model2vec, which reads `tokenizer.json`,
`model.safetensors` and `config.json`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

Embed = Callable[[str], bytes]
"""Returns the meaning of a text, empty where the model knows none of its words."""

# What tells meanings of one model from those of another one: the beginning of its hash.
TAG_BYTES = 4
# A directory of a model has some ten files; more is another one, given by mistake.
MAX_FILES = 256
_CHUNK_BYTES = 1 << 20


class EmbedError(Exception):
    """The model cannot be used; the message is one line: what failed, why, and what to do."""


class EmbedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model: a directory, and the hash that `model_hash` gives of it."""

    model: str
    sha256: str


def model_hash(directory: Path) -> str:
    """Return the SHA-256, in hex, of a directory: of its files' hashes and names, in their order.

    That is what `find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` prints there. Raises
    EmbedError.
    """
    if not directory.is_dir():
        raise EmbedError(f"{directory} is no directory: give the one with the model's files")
    files = sorted(
        os.fsencode(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )
    if len(files) > MAX_FILES:
        raise EmbedError(f"{directory} has more than {MAX_FILES} files: no directory of a model")
    whole = hashlib.sha256()
    try:
        for name in files:
            whole.update(
                _file_hash(directory / os.fsdecode(name)).encode() + b"  ./" + name + b"\n"
            )
    except OSError as error:
        raise EmbedError(f"cannot read {error.filename}: {error.strerror}") from error
    return whole.hexdigest()


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def load(settings: EmbedSettings) -> Embed:
    """Return what embeds texts by the model of the settings. Raises EmbedError."""
    directory = Path(settings.model)
    found = model_hash(directory)
    if found != settings.sha256.lower():
        raise EmbedError(
            f"the model in {directory} is not the one that was pinned: its hash is {found}, "
            f"sha256 says {settings.sha256}; see `busted identities --model-hash {directory}`"
        )
    # Whatever the library would like to ask the model's maker for, it shall not.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import numpy
        from model2vec import StaticModel
    except ModuleNotFoundError as error:
        raise EmbedError(f"embed needs {error.name}: pip install 'busted[embed]'") from error
    try:
        model = StaticModel.from_pretrained(directory, force_download=False)
    except Exception as error:  # whatever the library raises of files that are not what it expects
        raise EmbedError(f"cannot load the model in {directory}: {error}") from error
    tag = bytes.fromhex(found)[:TAG_BYTES]

    def embed(text: str) -> bytes:
        vector = model.encode([text], use_multiprocessing=False)[0]
        return tag + numpy.packbits(vector > 0).tobytes() if vector.any() else b""

    return embed

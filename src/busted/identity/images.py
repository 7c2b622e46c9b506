"""What an image of containers is called, without where it is fetched from and which release it is.

Left out: which image another one was made from.

Source: https://github.com/distribution/reference (the grammar in reference.go).
"""

from __future__ import annotations

import msgspec

MAX_IMAGE_CHARS = 512


class Image(msgspec.Struct, frozen=True):
    """`name` is the repository without its registry; `digest` is of the content, if it is told."""

    name: str = ""
    digest: str = ""


NO_IMAGE = Image()


def image_of(reference: str | None) -> Image:
    """Return what a reference such as `registry.example/acme/agent:1.2@sha256:...` names."""
    if not reference:
        return NO_IMAGE
    if reference.startswith("sha256:"):
        return Image("", reference[:MAX_IMAGE_CHARS])
    place, _, digest = reference[:MAX_IMAGE_CHARS].partition("@")
    first, slash, rest = place.partition("/")
    # Only a registry has a dot or a port in what stands before the first slash.
    if slash and ("." in first or ":" in first or first == "localhost"):
        place = rest
    name = place.partition(":")[0].removeprefix("library/")
    return Image(name, digest)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.identity.images import NO_IMAGE, Image, image_of

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        (f"ghcr.io/acme/agent:1.2@{DIGEST}", Image("acme/agent", DIGEST)),
        ("localhost:5000/agent", Image("agent")),
        ("localhost/agent:latest", Image("agent")),
        ("docker.io/library/python:3.12-slim", Image("python")),
        ("acme/agent:1", Image("acme/agent")),
        ("python:3.12", Image("python")),
        (DIGEST, Image("", DIGEST)),
        (None, NO_IMAGE),
        ("", NO_IMAGE),
    ],
)
def test_an_image_is_its_repository_whatever_its_registry_and_tag(
    reference: str | None, image: Image
) -> None:
    assert image_of(reference) == image


@given(st.text())
def test_any_text_is_taken(reference: str) -> None:
    assert len(image_of(reference).name) <= len(reference)

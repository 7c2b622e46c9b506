import pytest

from busted.classifier.privacy import SECRET_HEADERS, host_of, path_of, safe_headers, safe_target


@pytest.mark.parametrize("name", sorted(SECRET_HEADERS))
@pytest.mark.parametrize("value", ["hunter2", "Bearer hunter2", "Basic hunter2", "a b hunter2"])
def test_credentials_never_leave(name: str, value: str) -> None:
    shown = safe_headers(((name, value), (name, value)))

    assert "hunter2" not in shown[name]
    assert "<redacted>" in shown[name]


def test_the_scheme_and_other_headers_stay() -> None:
    headers = (("authorization", "Bearer x"), ("accept", "a"), ("accept", "b"))

    assert safe_headers(headers) == {"authorization": "Bearer <redacted>", "accept": "a, b"}


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v1beta/models/m:generateContent?key=hunter2", "?key=<redacted>"),
        ("/x?alt=sse&key=hunter2&y=1", "?alt=sse&key=<redacted>&y=1"),
        ("/x?API_KEY=hunter2", "?API_KEY=<redacted>"),
        ("/x?sig=hunter2#top", "?sig=<redacted>#top"),
        ("/x?monkey=banana", "?monkey=banana"),
        ("/x?key=", "?key=<redacted>"),
    ],
)
def test_credentials_are_taken_out_of_a_query(target: str, shown: str) -> None:
    assert safe_target(target).endswith(shown)
    assert "hunter2" not in safe_target(target)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/messages?beta=true", "/v1/messages"),
        ("/a#b", "/a"),
        ("https://api.example/v1/x?y=1", "/v1/x"),
        ("http://api.example", "/"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_path_of(target: str, path: str) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("http://a.example/b?c", "a.example", "/b"),
        ("HTTPS://u:p@a.example:8080?c", "a.example:8080", "/"),
        ("http://a.example", "a.example", "/"),
        ("http:///b", None, "/b"),
        ("/b?u=http://a.example", None, "/b"),
        ("/a://b", None, "/a://b"),
        ("*", None, "*"),
        ("", None, ""),
    ],
)
def test_a_target_names_a_path_and_maybe_a_host(target: str, host: str | None, path: str) -> None:
    assert (host_of(target), path_of(target)) == (host, path)

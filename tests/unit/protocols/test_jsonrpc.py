import pytest

from busted.protocols.jsonrpc import JsonRpc, read


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sum"}}',
            JsonRpc("request", "1", "tools/call", params={"name": "sum"}),
        ),
        (
            b'{"method":"tools/list","jsonrpc":"2.0","id":"a"}',
            JsonRpc("request", "a", "tools/list"),
        ),
        (b'{"jsonrpc":"2.0","id":null,"method":"m"}', JsonRpc("request", None, "m")),
        (
            b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
            JsonRpc("notification", None, "notifications/initialized"),
        ),
        (b'{"jsonrpc":"2.0","id":2.5,"result":null}', JsonRpc("response", "2.5")),
        (b'{"jsonrpc":"2.0","id":2,"result":3,"error":null}', JsonRpc("response", "2", result=3)),
        (
            b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700}}',
            JsonRpc("error", None, error={"code": -32700}),
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s',
            JsonRpc("request", "1", "tools/call", params={"name": "s"}, truncated=True),
        ),
    ],
)
def test_a_message_is_read_by_its_members(data: bytes, message: JsonRpc) -> None:
    assert read(data) == (message,)


def test_only_the_last_message_of_a_cut_batch_is_truncated() -> None:
    data = b'[{"jsonrpc":"2.0","method":"a"},7,{"jsonrpc":"2.0","method":"b","params":["c"'
    assert read(data) == (
        JsonRpc("notification", method="a"),
        JsonRpc("notification", method="b", params=["c"], truncated=True),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"text",
        b'"2.0"',
        b'{"id":1,"method":"m"}',
        b'{"jsonrpc":"1.0","method":"m"}',
        b'{"jsonrpc":2.0,"method":"m"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","method":7}',
        b'{"jsonrpc":"2.0","id":1,"error":null}',
    ],
)
def test_anything_else_is_no_json_rpc(data: bytes) -> None:
    assert read(data) == ()


def test_a_boolean_is_no_id() -> None:
    assert read(b'{"jsonrpc":"2.0","id":true,"result":1}') == (JsonRpc("response", result=1),)


def test_messages_on_lines_of_their_own_are_all_read() -> None:
    first = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    second = b'[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]'
    third = b'{"jsonrpc":"2.0","id":2,"result":{"a":"b'
    assert read(b"\n".join([first, second, b"", third])) == (
        JsonRpc("request", "1", "tools/list"),
        JsonRpc("notification", None, "a"),
        JsonRpc("notification", None, "b"),
        JsonRpc("response", "2", result={"a": "b"}, truncated=True),
    )


def test_a_message_may_be_spread_over_lines() -> None:
    data = b'{\n  "jsonrpc": "2.0",\n  "id": 1,\n  "params": {}\n,\n  "method": "m"\n}\n'
    assert read(data) == (JsonRpc("request", "1", "m", params={}),)

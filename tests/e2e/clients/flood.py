"""Writes over TLS as fast as a processor can, to itself, and nothing of AI; until it is killed.

Every connection is new to the monitor, and is text without a protocol, of which it looks at a
megabyte before it gives up.
"""

import ssl

import trustme

BYTES_A_CONNECTION = 4 << 20
PIECE = (b"nothing of interest " * 820)[:16384]

authority = trustme.CA()
serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("flood.example").configure_cert(serving)
asking = ssl.create_default_context()
authority.configure_trust(asking)


def shake(one: ssl.SSLObject) -> bool:
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


print("ready", flush=True)
while True:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname="flood.example")
    server = serving.wrap_bio(there, back, server_side=True)
    while not all([shake(client), shake(server)]):
        pass
    for _ in range(BYTES_A_CONNECTION // len(PIECE)):
        client.write(PIECE)
        there.read()

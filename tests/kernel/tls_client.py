"""A TLS client that is given all it says on stdin: `tls_client.py PORT CA NAME [early]`.

It connects only when the request has come, so a test can start it early; with `early` it connects
first, and says so by a line.
"""

import socket
import ssl
import sys

port, authority, name, *early = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
request = b"" if early else sys.stdin.buffer.read()
with (
    socket.create_connection(("127.0.0.1", int(port))) as plain,
    context.wrap_socket(plain, server_hostname=name) as secure,
):
    if early:
        print("connected", flush=True)
        request = sys.stdin.buffer.read()
    secure.sendall(request)
    while secure.recv(65536):
        pass

"""A TLS client that is given all it says: `tls_client.py PORT CA NAME`, the request on stdin.

It connects only when the request has come, so a test can start it early.
"""

import socket
import ssl
import sys

port, authority, name = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
request = sys.stdin.buffer.read()
with (
    socket.create_connection(("127.0.0.1", int(port))) as plain,
    context.wrap_socket(plain, server_hostname=name) as secure,
):
    secure.sendall(request)
    while secure.recv(65536):
        pass

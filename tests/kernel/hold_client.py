"""A TLS client that does what it is told: `hold_client.py PORT NAME COUNT`.

It opens COUNT connections, says so, and then takes lines: `write N TEXT` writes over the N-th and
says so, `read N` prints what came, or the error's name.
"""

import socket
import ssl
import sys

port, name, count = sys.argv[1:]
context = ssl._create_unverified_context()
connections = [
    context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname=name)
    for _ in range(int(count))
]
print("open", flush=True)
for line in sys.stdin:
    what, number, *text = line.split()
    connection = connections[int(number)]
    try:
        if what == "write":
            connection.sendall(text[0].encode())
            print("written", flush=True)
        else:
            print(connection.recv(100).decode() or "ended", flush=True)
    except OSError:
        print("ended", flush=True)

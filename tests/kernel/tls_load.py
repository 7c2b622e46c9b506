"""TLS without end, to see that a monitor changes nothing: `tls_load.py serve DIRECTORY` prints its
port and sends back what it gets; `tls_load.py ask DIRECTORY PORT` asks until its standard input
ends, prints a line for each connection, and fails if one byte comes back changed.
"""

import select
import socket
import ssl
import sys
import threading

NAME = "load.example"
# Sizes of one connection's messages: small ones, a usual prompt, several TLS records.
SIZES = (100, 5_000, 90_000, 1)


def serve(directory: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/server.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_echo, args=(context, plain), daemon=True).start()


def _echo(context: ssl.SSLContext, plain: socket.socket) -> None:
    with plain, context.wrap_socket(plain, server_side=True) as secure:
        while data := secure.recv(65536):
            secure.sendall(data)


def ask(directory: str, port: str) -> None:
    context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
    number = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        with (
            socket.create_connection(("127.0.0.1", int(port))) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as secure,
        ):
            for size in SIZES:
                sent = (b"%d " % number * size)[:size]
                secure.sendall(sent)
                got = b""
                while len(got) < size:
                    got += secure.recv(65536) or sys.exit("the connection was closed")
                if got != sent:
                    sys.exit(f"connection {number}: {size} bytes came back changed")
        number += 1
        print(number, flush=True)


if __name__ == "__main__":
    (serve if sys.argv[1] == "serve" else ask)(*sys.argv[2:])

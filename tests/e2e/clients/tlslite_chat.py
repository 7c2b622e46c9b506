"""Asks OpenAI with a TLS that is Python from end to end, where no library can be probed."""

import json
import socket
import sys

from tlslite.api import TLSConnection

HOST = "api.openai.com"


def ask(prompt: str) -> str:
    """Return what the model says."""
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]})
    with socket.create_connection((HOST, 443)) as plain:
        secure = TLSConnection(plain)
        secure.handshakeClientCert(serverName=HOST)
        secure.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        )
        answer = b""
        while piece := secure.recv(65536):
            answer += piece
        secure.close()
    _, _, said = answer.partition(b"\r\n\r\n")
    return said.decode()


if __name__ == "__main__":
    print(ask(sys.argv[1]))

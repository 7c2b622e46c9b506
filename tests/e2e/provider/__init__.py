"""A fake provider over TLS: the dialects of most that there are, and a plain web site.

`python -m tests.e2e.provider --port 443 --cert-dir DIR` writes the certificate of its own
authority to DIR/ca.pem, listens on loopback, and prints `ready`. It speaks HTTP/1.1 and, for
OpenAI's realtime conversations, WebSocket; it needs no key, remembers nothing, and answers as
`tests.e2e.answers` says. One module spells the answers of one dialect, from `replies.Reply`.

Left out: HTTP/2 (tests/e2e/front.py stands before it for that), and checking of requests; the
SDKs do that for us.
"""

"""Real traffic to train with: real clients against servers of ours, seen by the kernel's probes.

`python -m tests.ml.traffic --seconds 60 OUT` starts the servers and the clients of
`scenarios.SCENARIOS` in a network namespace, with a line between them that has the delay and the
rate of a wide network, and writes what `records.Traffic` said of each connection, never what was
said on it. What a connection was comes from its port: each scenario has its own.

Providers are told apart by their pace: `profiles` has what is published of several.
"""

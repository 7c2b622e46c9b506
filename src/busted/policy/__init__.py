"""Judges events with Rego: `engine.PolicyEngine` for the monitor, `check` for who writes policies.

    monitor ── engine ──> nursery ──forks──> worker ──> compiled (regorus)

Rego runs in a worker process that holds nothing but the policy and the event it is asked about.
The nursery stays free of both and forks a worker whenever one is needed, so that it also can be
replaced after the monitor has given up running programs.

`sources` reads files, `syntax` reads what the parser made of them, `rewriting` (with `patterns`)
writes otherwise what regorus would read otherwise than OPA, and `builtins` lists what cannot be;
`compiled` evaluates; `messages` is what the processes say to one another.

docs/policies.md has the outcome of everything that can go wrong. Exceptions: `PolicyError`, when a
policy cannot be loaded; never on an event.
"""

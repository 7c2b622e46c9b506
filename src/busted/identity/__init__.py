"""Which agent is speaking, stable across processes and restarts, and why we think so.

`tracker.IdentityTracker` is the way in. Three things are told apart: the agent (what it is), the
instance (this run of it) and the principal (who runs it). docs/identities.md has the rules.
"""

"""Policies: Rego that says of an event whether it is allowed, audited or denied."""

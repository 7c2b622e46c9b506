"""Built-in functions of Rego that regorus has but a policy here may not use, and why.

Whatever is not in regorus at all is refused without a row here. docs/policies.md has this table for
readers; the differential tests against OPA are what it comes from.
"""

REFUSED: dict[str, str] = {
    "http.send": "a policy sees what people wrote, and must not send it anywhere",
    "opa.runtime": "it tells of the host, not of the event",
    "rand.intn": "a decision must not be left to chance",
    "uuid.rfc4122": "a decision must not be left to chance",
}

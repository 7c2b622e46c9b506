"""Built-in functions of Rego that regorus has but a policy here may not use, and why.

What is not in regorus at all is refused without a row here. What does otherwise than in OPA was
found by OPA's conformance cases and by comparing with OPA itself (tests/opa). docs/policies.md has
this table for readers, or a test fails.
"""

REFUSED: dict[str, str] = {
    "graph.reachable_paths": "it leaves paths of cyclic graphs out",
    "http.send": "a policy sees what people wrote, and must not send it anywhere",
    "json.match_schema": "it answers otherwise than in OPA",
    "json.verify_schema": "it fails where OPA answers",
    "opa.runtime": "it tells of the host, not of the event",
    "rand.intn": "a decision must not be left to chance",
    "regex.template_match": "it does not match what matches in OPA",
    "strings.count": "it counts overlapping matches otherwise than OPA, and panics on empty ones",
    "trace": "it answers otherwise than in OPA; use print",
    "uuid.parse": "it answers otherwise than in OPA",
    "uuid.rfc4122": "a decision must not be left to chance",
}

# Those that are only refused with this many arguments.
REFUSED_FORMS: dict[tuple[str, int], str] = {
    ("walk", 1): "it yields nothing in this form; write walk(x, [path, value])",
}

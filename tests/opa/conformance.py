"""How regorus does on OPA's own conformance cases: `python -m tests.opa.conformance FILE...`

A case is a JSON object a line: modules, a query, data, input, and what OPA answers. Prints one
Markdown table, a row a category. `--list OUTCOME` prints the cases with that outcome instead.

What counts for a policy is which column a difference is in: what is refused is told when the policy
is loaded, an error yields the operator's decision for errors, and only another answer is silent.
"""

from __future__ import annotations

import argparse
import collections
import json
from pathlib import Path
from typing import Any

import regorus

from busted.policy.compiled import parse, prepared, refused
from busted.policy.sources import Source

# same: OPA's answer, or an error where it has one. refused: told at load, with the place.
# error: told when evaluated, where OPA answers. lenient: an answer where OPA has an error.
# other: another answer than OPA's.
OUTCOMES = ("same", "refused", "error", "lenient", "other")


def outcome(case: dict[str, Any]) -> str:
    """Return which of OUTCOMES a case has."""
    wants_error = "want_error" in case or "want_error_code" in case
    sources = tuple(Source(f"{n}.rego", text) for n, text in enumerate(case["modules"] or []))
    modules, problems = parse(sources)
    if problems or refused(modules):
        return "same" if wants_error else "refused"
    engine = regorus.Engine()
    try:
        for module in modules:
            engine.set_rego_v0(not module.v1)
            engine.add_policy(module.name, prepared(module).text)
        engine.set_rego_v0(any(not m.v1 for m in modules))
        if case.get("data"):
            engine.add_data_json(json.dumps(case["data"]))
        if "input_term" in case:
            term = json.loads(engine.eval_query_as_json(case["input_term"]))
            engine.set_input_json(json.dumps(term["result"][0]["expressions"][0]["value"]))
        elif "input" in case:
            engine.set_input_json(json.dumps(case["input"]))
        result = json.loads(engine.eval_query_as_json(case["query"]))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        # A panic in Rust is no Exception; here it ends the worker.
        return "same" if wants_error else "error"
    if wants_error:
        return "lenient"
    bindings = [row.get("bindings", {}) for row in result.get("result", [])]
    return "same" if _normal(bindings) == _normal(case.get("want_result") or []) else "other"


def _normal(value: Any) -> Any:
    """Return the value in a form in which equal ones are equal, whatever the order of a set."""
    if isinstance(value, list):
        return sorted((_normal(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    if isinstance(value, dict):
        return {key: _normal(v) for key, v in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def main() -> None:
    """Print the table, or the cases of one outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--list", choices=OUTCOMES)
    arguments = parser.parse_args()
    table: dict[str, collections.Counter[str]] = {}
    for file in arguments.files:
        for line in file.read_text().splitlines():
            case = json.loads(line)
            told = outcome(case)
            table.setdefault(case["cat"], collections.Counter())[told] += 1
            if told == arguments.list:
                print(line)
    if arguments.list:
        return
    total = sum(table.values(), collections.Counter())
    print("| category | cases | " + " | ".join(OUTCOMES) + " |")
    print("| --- " * (len(OUTCOMES) + 2) + "|")
    for category, counts in [("**all**", total), *sorted(table.items())]:
        numbers = (counts.total(), *(counts[name] for name in OUTCOMES))
        print(f"| {category} | " + " | ".join(map(str, numbers)) + " |")


if __name__ == "__main__":
    main()

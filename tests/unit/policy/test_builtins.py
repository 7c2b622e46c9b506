import regorus

from busted.policy.builtins import REFUSED, REFUSED_FORMS
from tests.requirements import ROOT


def test_each_refused_function_is_documented_with_its_reason() -> None:
    document = (ROOT / "docs" / "policies.md").read_text()
    rows = {name: reason for name, reason in REFUSED.items()}
    rows |= {f"{name}(x)": reason for (name, _), reason in REFUSED_FORMS.items()}

    for name, reason in rows.items():
        assert f"| `{name}` | {reason} |" in document


def test_a_row_is_only_there_for_what_regorus_has() -> None:
    has = regorus.Engine().eval_query("opa.runtime().builtins")["result"][0]["expressions"][0]

    assert REFUSED.keys() | {name for name, _ in REFUSED_FORMS} <= set(has["value"])


def test_a_form_that_is_refused_has_another_that_works() -> None:
    engine = regorus.Engine()
    engine.add_policy("a.rego", 'package a\nx := [p | walk({"k": 1}, [p, v]); v == 1]')

    assert engine.eval_rule("data.a.x") == [["k"]]

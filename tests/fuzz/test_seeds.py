import importlib
from pathlib import Path
from types import ModuleType

import pytest

TARGETS = sorted(file.stem for file in Path(__file__).parent.glob("fuzz_*.py"))


@pytest.mark.parametrize("name", TARGETS)
def test_the_invariant_of_a_fuzz_target_holds_for_its_seeds(name: str) -> None:
    target: ModuleType = importlib.import_module(f"tests.fuzz.{name}")
    assert target.SEEDS
    for seed in target.SEEDS:
        target.one_input(seed)
        target.one_input(seed[: len(seed) // 2])

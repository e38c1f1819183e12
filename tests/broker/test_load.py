"""Two hundred streams while a backend dies and comes back."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "broker_load.py"


def load():
    spec = importlib.util.spec_from_file_location("broker_load", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.e2e
def test_no_answer_is_lost_or_mixed_up_while_a_backend_dies_and_comes_back():
    load_test = load()
    load_test.EVENTS = 5  # short answers, so that many are begun on a busy machine
    found = asyncio.run(load_test.measure(15, 200))
    assert load_test.problems(found) == []
    assert found["complete"] > 200

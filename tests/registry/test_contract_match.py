"""Does a model keep its contract: a table."""

import copy
from typing import Any

import pytest

from registry.contracts import differences, sample_differences
from tests.factories.registry import contract

KEPT = {"inputs": contract()["inputs"], "outputs": contract()["outputs"]}


def _with(side: str, **changes: Any) -> dict[str, Any]:
    altered = copy.deepcopy(KEPT)
    altered[side][0].update(changes)
    return altered


@pytest.mark.parametrize(
    "model",
    [
        KEPT,
        _with("inputs", shape=["batch", 4]),
        _with("inputs", shape=["?", "?"]),
        _with("outputs", shape=None),
    ],
)
def test_model_that_takes_and_gives_what_the_contract_says_keeps_it(model: dict[str, Any]) -> None:
    assert differences(contract(), model) == []


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (_with("inputs", name="img"), "missing"),
        (_with("outputs", dtype="float16"), "dtype"),
        (_with("inputs", shape=["N", 5]), "shape"),
        (_with("inputs", shape=[1, 4]), "shape"),
        (_with("inputs", shape=["N", 4, 1]), "shape"),
        ({"inputs": KEPT["inputs"], "outputs": []}, "missing"),
        ({**KEPT, "inputs": [*KEPT["inputs"], {"name": "more", "dtype": "float32", "shape": []}]}, "contract has not"),
    ],
)
def test_model_that_differs_is_told_how(model: dict[str, Any], word: str) -> None:
    assert any(word in difference for difference in differences(contract(), model))


def test_model_open_where_the_contract_is_fixed_keeps_it() -> None:
    fixed = contract()
    fixed["inputs"][0]["shape"] = [1, 4]
    assert differences(fixed, KEPT) == []


ARRAYS = {"input:image": {"dtype": "float32", "shape": [5, 4]}, "golden:logits": {"dtype": "float32", "shape": [5, 3]}}


def test_sample_set_with_every_input_and_some_outputs_fits() -> None:
    assert sample_differences(contract(), {**ARRAYS, "labels": {"dtype": "int64", "shape": [5]}}) == []


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"golden:logits": ARRAYS["golden:logits"]}, "no array input:image"),
        ({**ARRAYS, "input:more": ARRAYS["input:image"]}, "no input 'more'"),
        ({**ARRAYS, "golden:more": ARRAYS["input:image"]}, "no output 'more'"),
        ({**ARRAYS, "input:image": {"dtype": "float64", "shape": [5, 4]}}, "float64"),
    ],
)
def test_sample_set_that_does_not_fit_is_told_how(arrays: dict[str, Any], word: str) -> None:
    (difference,) = sample_differences(contract(), arrays)
    assert word in difference

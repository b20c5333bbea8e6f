"""What `smallfleet study`, `compress` and `ladder` write is what the server takes: their documents and its schemas are held together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator

import compression.study
import registry
from compression.datasets import Samples
from compression.provenance import DOCUMENT_LIMIT_BYTES, StepRecord, recipe_document
from registry.documents import MAX_RECIPE_BYTES, check_recipe, check_study
from tests.factories.studies import study_document

WRITTEN = json.loads((Path(compression.study.__file__).parent / "schema" / "study-1.json").read_text())
TAKEN = json.loads((Path(registry.__file__).parent / "schemas" / "study-1.json").read_text())


def _metrics(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"]["points"]["items"]["properties"]["metrics"]["properties"])


def test_document_of_the_servers_tests_is_one_that_is_written() -> None:
    document = study_document(points=30)
    assert list(Draft202012Validator(WRITTEN).iter_errors(document)) == []
    assert check_study(document, name="widths") == document


def test_both_sides_know_the_same_fields_and_metrics() -> None:
    assert _metrics(WRITTEN) == _metrics(TAKEN)
    assert set(WRITTEN["properties"]) == set(TAKEN["properties"])
    assert set(TAKEN["required"]) <= set(WRITTEN["required"])
    points = [schema["properties"]["points"]["items"] for schema in (WRITTEN, TAKEN)]
    assert set(points[1]["required"]) <= set(points[0]["required"])
    assert points[0]["properties"]["state"] == points[1]["properties"]["state"]


def test_record_of_a_variant_is_a_recipe_that_the_server_keeps(tmp_path: Path) -> None:
    (tmp_path / "v1.onnx").write_bytes(b"onnx")
    document = recipe_document(
        recipe='[[step]]\ndo = "prune"\n',
        seed=7,
        source=tmp_path / "v1.onnx",
        samples=Samples({"x": np.zeros((2, 3), np.float32)}, None),
        held_out=1,
        steps=[StepRecord("prune", {"sparsity": 0.9}, {"left": 12})],
    )
    assert check_recipe(document) == document
    assert DOCUMENT_LIMIT_BYTES <= MAX_RECIPE_BYTES

"""How a variant was made is kept with it: checked, in one form, and for good."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import AuditRecord
from registry import services
from registry.documents import MAX_RECIPE_BYTES, canonical
from registry.models import Variant
from tests.factories.registry import make_artifact, make_line, make_version, onnx_model
from tests.registry.wire import assert_problem, send

pytestmark = pytest.mark.django_db
ADDRESS = "/models/digits/versions/1.0.0/variants/pruned"
RECIPE: dict[str, Any] = {
    "schema": "smallfleet-recipe/1",
    "recipe": 'schema = "smallfleet-recipe/1"\n[[step]]\ndo = "prune"\n',
    "seed": 7,
    "source_sha256": "a" * 64,
    "dataset_sha256": "b" * 64,
    "versions": {"torch": "2.13.0", "nncodec": None},
    "machine": "Linux x86_64",
    "steps": [{"do": "prune", "options": {"sparsity": 0.9, "layers": ["conv1"]}, "facts": {"left": 1e-05}}],
}


@pytest.fixture
def wish() -> dict[str, Any]:
    make_version(make_line())
    return {"sha256": make_artifact(onnx_model(), "model").sha256}


def test_recipe_comes_back_as_it_was_said(publisher: APIClient, viewer: APIClient, wish: dict[str, Any]) -> None:
    assert send(publisher, "PUT", ADDRESS, wish | {"recipe": RECIPE}).status_code == 201
    (shown,) = send(viewer, "GET", "/models/digits/versions/1.0.0").json()["variants"]
    assert shown["recipe"] == RECIPE
    after = AuditRecord.objects.get(action="add_variant").after
    assert after is not None
    assert len(after["recipe_sha256"]) == 64


def test_same_recipe_again_is_harmless_in_any_order_of_keys(publisher: APIClient, wish: dict[str, Any]) -> None:
    assert send(publisher, "PUT", ADDRESS, wish | {"recipe": RECIPE}).status_code == 201
    turned = dict(reversed(RECIPE.items()))
    assert send(publisher, "PUT", ADDRESS, wish | {"recipe": turned}).status_code == 200
    # Who says nothing contradicts nothing.
    assert send(publisher, "PUT", ADDRESS, wish).status_code == 200
    assert Variant.objects.get().recipe == RECIPE


def test_another_recipe_is_a_conflict_also_where_there_was_none(publisher: APIClient, wish: dict[str, Any]) -> None:
    assert send(publisher, "PUT", ADDRESS, wish).status_code == 201
    assert_problem(send(publisher, "PUT", ADDRESS, wish | {"recipe": RECIPE}), 409, "variant-differs")
    other = {"sha256": make_artifact(onnx_model(1), "model").sha256, "recipe": RECIPE}
    assert send(publisher, "PUT", f"{ADDRESS}-2", other).status_code == 201
    assert_problem(
        send(publisher, "PUT", f"{ADDRESS}-2", other | {"recipe": RECIPE | {"seed": 8}}), 409, "variant-differs"
    )
    assert Variant.objects.get(name="pruned").recipe is None
    assert Variant.objects.get(name="pruned-2").recipe == RECIPE


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ("prune a little", None),
        ([RECIPE], None),
        ({}, ""),
        (RECIPE | {"schema": "smallfleet-recipe/2"}, "schema"),
        (RECIPE | {"steps": [{"options": {}}]}, "steps.0"),
        (RECIPE | {"source_sha256": "A" * 64}, "source_sha256"),
        (RECIPE | {"steps": [{"do": "prune"}] * 101}, "steps"),
        (RECIPE | {"note": "x" * MAX_RECIPE_BYTES}, None),
    ],
    ids=["text", "list", "empty", "schema", "step", "digest", "steps", "large"],
)
def test_recipe_that_is_none_is_refused_and_no_variant_is_made(
    publisher: APIClient, wish: dict[str, Any], recipe: Any, field: str | None
) -> None:
    problem = assert_problem(send(publisher, "PUT", ADDRESS, wish | {"recipe": recipe}), 422, "recipe-invalid")
    if field is not None:
        assert field in {error["field"] for error in problem["errors"]}
    assert not Variant.objects.exists()


def test_recipe_of_just_64_kb_is_kept(wish: dict[str, Any]) -> None:
    note = "x" * (MAX_RECIPE_BYTES - len(canonical(RECIPE | {"note": ""})))
    recipe = RECIPE | {"note": note}
    version = make_version(make_line("kws"))
    row, _ = services.add_variant(actor=SYSTEM, version=version, name="v", sha256=wish["sha256"], recipe=recipe)
    row.refresh_from_db()
    assert row.recipe == recipe

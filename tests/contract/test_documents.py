"""The documents of the wire against the code: docs/openapi.json, docs/wire.md."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import validate

from fleet.rollouts.api.event_serializers import DETAILS, FAILED_STAGES
from fleet.rollouts.messages import EventKind

DOCS = Path(__file__).parents[2] / "docs"
OPENAPI, WIRE = DOCS / "openapi.json", (DOCS / "wire.md").read_text()
ROUTE_ROW = re.compile(r"^\| `([A-Z, ]+ /[^`]*(?:`; `[A-Z, ]+ /[^`]*)*)`", re.MULTILINE)
EVENT_ROW = re.compile(r"^\| `(\w+)` \| `\{([^}]*)\}`", re.MULTILINE)


@pytest.fixture(scope="module")
def generated() -> dict[str, Any]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    document: dict[str, Any] = json.loads(json.dumps(schema, default=str))
    return document


def test_committed_document_is_the_generated_one(generated: dict[str, Any]) -> None:
    committed = json.loads(OPENAPI.read_text())
    assert committed == generated, "run: manage.py spectacular --format openapi-json --file docs/openapi.json"


def test_document_is_valid_openapi(generated: dict[str, Any]) -> None:
    validate(generated)


def test_every_operation_documents_its_problems_and_who_may(generated: dict[str, Any]) -> None:
    for path, methods in generated["paths"].items():
        for method, operation in methods.items():
            statuses = {int(status) for status in operation["responses"]}
            assert any(status < 400 for status in statuses), (method, path)
            assert operation.get("security") or path.endswith("/enroll"), (method, path)


def _documented_routes() -> set[tuple[str, str]]:
    """Method and path of each route of docs/wire.md, with every parameter written `{}`."""
    routes = set()
    for row in ROUTE_ROW.findall(WIRE):
        for part in row.split("`; `"):
            methods, path = part.rsplit(" ", 1) if not part.count(", /") else part.split(" /", 1)
            path = re.sub(r"<[^>]*>", "{}", path.split("?")[0])
            verbs = path.rsplit("/", 1)[1].split("\\|")
            for method in methods.split(", "):
                routes |= {(method.lower(), f"{path.rsplit('/', 1)[0]}/{verb}") for verb in verbs}
    return routes


def test_every_route_of_the_wire_is_served(generated: dict[str, Any]) -> None:
    served = {
        (method, re.sub(r"\{[^}]*\}", "{}", path).removeprefix("/api/v1"))
        for path, methods in generated["paths"].items()
        for method in methods
    }
    documented = _documented_routes()
    assert len(documented) > 30
    missing = documented - served
    assert not missing


@pytest.mark.parametrize("kind", list(EventKind))
def test_detail_of_each_event_is_the_documented_one(kind: EventKind) -> None:
    rows = dict(EVENT_ROW.findall(WIRE))
    documented = {field.split(":")[0].strip() for field in rows[kind.value].split(",")}
    assert set(DETAILS[kind]().fields) == documented


def test_stages_of_a_failure_are_the_documented_ones() -> None:
    stages = re.search(r"`\{stage: ([^,]*),", WIRE)
    assert stages is not None
    assert tuple(stages[1].split("\\|")) == FAILED_STAGES

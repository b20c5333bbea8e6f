"""What the OpenAPI document says about every route."""

from typing import Any

from access.api.serializers import ProblemSerializer

PROBLEM = "application/problem+json"
_ALWAYS = (401, 403)


def problems(*statuses: int) -> dict[tuple[int, str], Any]:
    """Problem responses by status; those that every route with a credential has are added."""
    return {(status, PROBLEM): ProblemSerializer for status in sorted({*_ALWAYS, *statuses})}

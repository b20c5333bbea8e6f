"""What the tests do over the wire, named after what a client does."""

import json
from pathlib import Path
from typing import Any

from rest_framework.test import APIClient

from tests.factories.registry import digest

API = "/api/v1"


def upload(client: APIClient, content: bytes, kind: str = "model", *, sha256: str | None = None, **headers: Any) -> Any:
    """PUT an artifact."""
    return client.put(
        f"{API}/artifacts/sha256/{sha256 or digest(content)}?kind={kind}",
        data=content,
        content_type="application/octet-stream",
        **headers,
    )


def send(client: APIClient, method: str, path: str, body: Any = None, **headers: Any) -> Any:
    """A JSON request."""
    return client.generic(
        method,
        f"{API}{path}",
        data=json.dumps(body) if body is not None else "",
        content_type="application/json",
        **headers,
    )


def files_in(store: Path) -> list[Path]:
    """Every file below the store's root, staged ones included."""
    return sorted(path for path in store.rglob("*") if path.is_file())


def assert_problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    """The answer is this problem, and says something."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(response.content)
    assert body["type"] == f"urn:smallfleet:problem:{slug}"
    assert body["detail"]
    return body

"""What the tests do over the wire, named after what a client does."""

import json
from pathlib import Path
from typing import Any

from rest_framework.test import APIClient
from tuf.api.metadata import TargetFile

from tests.factories.registry import digest
from tests.factories.trust import SignedLine

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


def put_metadata(client: APIClient, line: str, name: str, content: bytes) -> Any:
    """PUT a signed file."""
    return client.put(f"{API}/models/{line}/metadata/{name}", data=content, content_type="application/json")


def new_signed_line(client: APIClient, name: str = "digits") -> SignedLine:
    """Keys of a model line that is there, and its first root on the server."""
    signed = SignedLine(name, send(client, "GET", "/trust/online-keys").json())
    assert put_metadata(client, name, "1.root.json", signed.root_bytes()).status_code == 201
    return signed


def sign_targets(client: APIClient, signed: SignedLine, *targets: TargetFile) -> Any:
    """Sign these targets, and no others, and PUT them."""
    content = signed.next_targets(targets)
    return put_metadata(client, signed.model, f"{signed.targets.version}.targets.json", content)


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

"""A list or an object beyond its cap is refused as a whole: a body of 2 MB must not become a million messages."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.factories.fleet import make_device
from tests.factories.people import api_as

MANY: list[Any] = [{}] * 5000
POLL = {"agent_version": "1", "patch_formats": [1], "installations": []}
BODIES = [
    ("device", "post", "poll", POLL | {"installations": MANY}),
    ("device", "post", "poll", POLL | {"patch_formats": MANY}),
    ("device", "post", "poll", POLL | {"attributes": {f"a{number}": [] for number in range(5000)}}),
    ("device", "post", "events", {"events": MANY}),
    ("device", "post", "reports", {"reports": MANY}),
    ("nobody", "post", "enroll", {"token": "x", "name": "x", "attributes": {f"a{n}": [] for n in range(5000)}}),
    ("admin", "post", "tokens", {"name": "x", "scopes": MANY}),
    ("admin", "put", "models/x/versions/1.0.0/variants/y", {"sha256": "a" * 64, "evaluations": MANY}),
]


def client_of(who: str) -> APIClient:
    if who == "device":
        return make_device().api
    return api_as(who) if who == "admin" else APIClient()


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "method", "path", "body"), BODIES)
def test_list_beyond_its_cap_is_refused_in_one_message(who: str, method: str, path: str, body: dict[str, Any]) -> None:
    answer = getattr(client_of(who), method)(f"/api/v1/{path}", body, format="json")
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 1

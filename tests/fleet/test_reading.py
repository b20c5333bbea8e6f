"""What a device may read: the artifacts of model lines that it names and may install; the others do not exist for it."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from fleet.devices.models import Device
from registry.models import Artifact, ModelLine, Variant, Version
from tests.factories.fleet import make_device, make_enrollment_token, make_fleet, make_patch, make_variant
from tests.factories.people import api_as
from tests.factories.trust import SignedLine, trust_line


def make_trust(name: str) -> SignedLine:
    """A model line with signed metadata and no version."""
    return trust_line(ModelLine.objects.create(name=name))


def head(client: APIClient, artifact: Artifact | None) -> int:
    assert artifact is not None
    return int(client.head(f"/api/v1/artifacts/sha256/{artifact.sha256}").status_code)


def artifacts_of(variant: Variant) -> list[Artifact | None]:
    """Everything that a device fetches to install it."""
    older = make_variant("0.9.0", line=variant.version.model_line.name)
    patch, packed = make_patch(older.artifact, variant.artifact), make_patch(None, variant.artifact)
    return [variant.artifact, variant.version.contract, variant.version.sample_set, patch.artifact, packed.artifact]


def enrolled(**terms: Any) -> tuple[Device, APIClient]:
    token = make_enrollment_token(**terms)[1]
    body = APIClient().post("/api/v1/enroll", {"token": token, "name": "gate"}, format="json").json()
    client = APIClient(headers={"Authorization": f"Bearer {body['credential']}"})
    return Device.objects.get(pk=body["device_id"]), client


def say(client: APIClient, *lines: str) -> list[str]:
    held = [{"model": line, "current": None, "previous": None} for line in lines]
    saying = {"agent_version": "1", "patch_formats": [1], "installations": held}
    answer = client.post("/api/v1/poll", saying, format="json")
    assert answer.status_code == 200
    return [entry["model"] for entry in answer.json()["installations"]]


@pytest.mark.django_db
def test_device_reads_what_belongs_to_its_lines_and_nothing_else() -> None:
    own, foreign = artifacts_of(make_variant(line="digits")), artifacts_of(make_variant(line="faces"))
    device = make_device()
    assert [head(device.api, one) for one in own] == [404] * 5, "it has not named the line yet"
    say(device.api, "digits")
    assert [head(device.api, one) for one in own] == [200] * 5
    assert [head(device.api, one) for one in foreign] == [404] * 5
    say(device.api)
    assert [head(device.api, one) for one in own] == [404] * 5, "it names the line no longer"
    viewer = api_as("viewer")
    assert [head(viewer, one) for one in (*own, *foreign)] == [200] * 10


@pytest.mark.django_db
def test_refusal_reads_as_if_there_were_no_such_artifact() -> None:
    device, foreign = make_device(), make_variant(line="faces").artifact
    say(device.api, "digits")
    refused = device.api.get(f"/api/v1/artifacts/sha256/{foreign.sha256}")
    absent = device.api.get(f"/api/v1/artifacts/sha256/{'0' * 64}")
    assert refused.content.replace(foreign.sha256.encode(), b"0" * 64) == absent.content


@pytest.mark.django_db
def test_draft_is_not_for_devices_and_a_yanked_version_stays_readable() -> None:
    device = make_device()
    draft = make_variant("2.0.0", state=Version.State.DRAFT)
    yanked = make_variant("1.0.0", state=Version.State.YANKED)
    say(device.api, "digits")
    assert head(device.api, draft.artifact) == 404
    assert head(device.api, draft.version.contract) == 404
    assert head(device.api, yanked.artifact) == 200


@pytest.mark.django_db
def test_device_of_a_token_with_models_installs_and_reads_only_those() -> None:
    allowed, forbidden = make_variant(line="digits"), make_variant(line="faces")
    _device, client = enrolled(models=["digits"])
    assert say(client, "digits", "faces") == ["digits"]
    # Not "say-first" for ever: what it may not install is not waited for.
    assert client.get("/api/v1/poll").status_code == 200
    assert (head(client, allowed.artifact), head(client, forbidden.artifact)) == (200, 404)


@pytest.mark.django_db
def test_metadata_is_read_by_devices_that_may_install_the_line() -> None:
    make_trust("digits")
    paths = ["metadata/timestamp.json", "metadata/1.root.json", "metadata/news?root=0"]
    _device, allowed = enrolled(models=["digits"])
    _other, elsewhere = enrolled(models=["faces"])
    for path in paths:
        assert allowed.get(f"/api/v1/models/digits/{path}").status_code == 200, path
        assert elsewhere.get(f"/api/v1/models/digits/{path}").status_code == 404, path


@pytest.mark.django_db
def test_permission_to_read_costs_one_query_however_large_the_fleet() -> None:
    variant = make_variant()
    make_fleet(300, current=variant)
    device = make_device()
    say(device.api, "digits")
    for artifact in artifacts_of(variant):
        assert artifact is not None
        with CaptureQueriesContext(connection) as captured:
            assert device.row.may_read_artifact(artifact_id=artifact.pk, kind=artifact.kind)
        assert len(captured) == 1


@pytest.mark.django_db
def test_token_names_the_newest_root_of_each_line_that_it_allows() -> None:
    make_trust("digits")
    make_trust("faces")
    ModelLine.objects.create(name="plain")
    operator = api_as("operator")
    for models, named in [([], {"digits", "faces"}), (["digits", "plain"], {"digits"}), (["plain"], set())]:
        made = operator.post("/api/v1/enrollment-tokens", {"name": "x", "models": models}, format="json")
        assert made.json()["models"] == sorted(models)
        assert set(made.json()["roots"]) == named
        assert all(len(digest) == 64 for digest in made.json()["roots"].values())

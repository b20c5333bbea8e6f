"""The same store contract on a real S3 server, and what only an object store does."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from registry.deltas.building import build_patch
from registry.deltas.formats import BUILT_FORMAT
from registry.errors import StoreUnavailable
from registry.models import Artifact, Patch
from registry.signals import artifact_served
from registry.storage import ArtifactStore
from registry.storage.s3 import PART_BYTES, S3Access, S3Store
from tests.factories.registry import digest, make_artifact, onnx_model
from tests.registry.store_contract import StoreContract, put, read_all
from tests.registry.weed import BUCKET, running_weed
from tests.registry.wire import API, assert_problem, upload

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    with running_weed(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture
def artifact_store(access: S3Access, tmp_path: Path) -> S3Store:
    """A prefix of the test's own in the one bucket."""
    return S3Store(BUCKET, f"test/{uuid4().hex}", tmp_path / "staging", access)


@pytest.fixture
def s3_settings(settings: Settings, artifact_store: S3Store) -> Settings:
    """The server's settings name that store."""
    settings.SMALLFLEET_STORE = f"s3://{artifact_store.bucket}/{artifact_store.prefix}"
    settings.SMALLFLEET_STAGING = str(artifact_store.staging)
    settings.SMALLFLEET_S3_ENDPOINT_URL = artifact_store.access.endpoint_url
    settings.SMALLFLEET_S3_ACCESS_KEY_ID = artifact_store.access.access_key_id
    settings.SMALLFLEET_S3_SECRET_ACCESS_KEY = artifact_store.access.secret_access_key
    return settings


class TestS3Store(StoreContract):
    """All of the contract, and what only an object store does."""

    def test_large_file_goes_in_parts_and_comes_back_in_ranges(self, artifact_store: S3Store) -> None:
        content = os.urandom(2 * PART_BYTES + 12_345)
        sha256 = put(artifact_store, content)
        head = artifact_store._client.head_object(Bucket=BUCKET, Key=artifact_store._key(sha256))
        assert head["ETag"].strip('"').endswith("-3")  # S3 says so of an upload in three parts
        assert digest(read_all(artifact_store, sha256)) == sha256
        start = PART_BYTES - 10
        assert read_all(artifact_store, sha256, start, start + 20) == content[start : start + 20]

    def test_address_lets_anybody_fetch_the_file_and_a_part_of_it(self, artifact_store: S3Store) -> None:
        content = os.urandom(100_000)
        address = artifact_store.url(put(artifact_store, content), "model.onnx")
        assert address is not None
        assert httpx.get(address).content == content
        part = httpx.get(address, headers={"Range": "bytes=500-"})
        assert (part.status_code, part.content) == (206, content[500:])
        assert "model.onnx" in part.headers["content-disposition"]
        assert httpx.get(address.replace("X-Amz-Signature=", "X-Amz-Signature=0")).status_code == 403

    def test_bucket_that_is_missing_or_refuses_is_said_so(self, artifact_store: S3Store, access: S3Access) -> None:
        artifact_store.check_reachable()
        with pytest.raises(FileNotFoundError):
            S3Store("no-such-bucket", "", artifact_store.staging, access).check_reachable()
        stranger = S3Access(access.endpoint_url, access.region, access.access_key_id, "another secret")
        with pytest.raises(StoreUnavailable):
            S3Store(BUCKET, "", artifact_store.staging, stranger).check_reachable()


@pytest.mark.django_db
def test_upload_lands_in_the_bucket_and_nowhere_else(
    s3_settings: Settings, artifact_store: ArtifactStore, publisher: APIClient, store: Path
) -> None:
    assert upload(publisher, onnx_model()).status_code == 201
    assert upload(publisher, onnx_model()).status_code == 200
    assert read_all(artifact_store, digest(onnx_model())) == onnx_model()
    assert list(artifact_store.staging.iterdir()) == []
    assert not store.exists()


@pytest.mark.django_db
def test_refused_upload_leaves_nothing_in_the_bucket(
    s3_settings: Settings, artifact_store: ArtifactStore, publisher: APIClient
) -> None:
    assert_problem(upload(publisher, onnx_model()[:-30]), 422, "model-invalid")
    assert list(artifact_store.files()) == []
    assert list(artifact_store.staging.iterdir()) == []


@pytest.mark.django_db
def test_download_is_sent_to_the_bucket_which_serves_the_bytes(s3_settings: Settings, viewer: APIClient) -> None:
    content = onnx_model()
    artifact = make_artifact(content)
    told: list[dict[str, Any]] = []

    def listen(**said: Any) -> None:
        told.append(said)

    artifact_served.connect(listen)
    try:
        response: Any = viewer.get(f"{API}/artifacts/sha256/{artifact.sha256}")
    finally:
        artifact_served.disconnect(listen)
    assert (response.status_code, response["Cache-Control"]) == (307, "no-store")
    assert [(said["bytes_sent"], said["redirected"]) for said in told] == [(0, True)]
    # Followed as an agent does: another host gets neither the credential nor the attempt.
    followed = httpx.get(response["Location"], headers={"Range": "bytes=10-"})
    assert (followed.status_code, followed.content) == (206, content[10:])
    head: Any = viewer.head(f"{API}/artifacts/sha256/{artifact.sha256}")
    assert (head.status_code, head["Content-Length"]) == (200, str(len(content)))


@pytest.mark.django_db
def test_patch_is_built_from_files_in_the_bucket(s3_settings: Settings, artifact_store: ArtifactStore) -> None:
    old, new = (make_artifact(onnx_model(1, width=400, noise=noise)) for noise in (0.0, 1e-4))
    patch = build_patch(patch_id=Patch.objects.create(base=old, target=new, patch_format=BUILT_FORMAT).pk)
    assert patch is not None
    assert patch.state == Patch.State.READY, patch.failure
    assert patch.artifact is not None
    assert artifact_store.size(patch.artifact.sha256) == patch.size_bytes
    assert list(artifact_store.staging.iterdir()) == []


@pytest.mark.django_db
def test_object_store_that_does_not_answer_is_503_and_no_row_is_made(
    s3_settings: Settings, publisher: APIClient
) -> None:
    s3_settings.SMALLFLEET_S3_ENDPOINT_URL = "http://127.0.0.1:1"
    assert_problem(upload(publisher, onnx_model()), 503, "store-unavailable")
    assert not Artifact.objects.exists()

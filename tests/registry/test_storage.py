"""A store in a folder, and which store the settings name."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from registry.storage import ArtifactStore, digest_path
from registry.storage import store as chosen_store
from registry.storage.folder import FolderStore
from registry.storage.s3 import S3Store
from tests.factories.registry import digest
from tests.registry.store_contract import StoreContract, put


class TestFolderStore(StoreContract):
    """All of the contract, and what only a folder does."""

    @pytest.fixture
    def artifact_store(self, tmp_path: Path) -> ArtifactStore:
        return FolderStore(tmp_path / "artifacts")

    def test_file_lies_at_its_digest_and_cannot_be_written(self, artifact_store: FolderStore) -> None:
        sha256 = put(artifact_store, b"here")
        path = artifact_store.root / "sha256" / sha256[:2] / sha256[2:4] / sha256
        assert path.read_bytes() == b"here"
        assert path.stat().st_mode & 0o222 == 0

    def test_it_has_no_address_of_its_own(self, artifact_store: ArtifactStore) -> None:
        assert artifact_store.url(put(artifact_store, b"here")) is None


def test_digest_path_spreads_over_folders() -> None:
    assert digest_path(digest(b"")) == f"e3/b0/{digest(b'')}"


def test_settings_choose_the_store(settings: Settings, tmp_path: Path) -> None:
    settings.SMALLFLEET_STORE = str(tmp_path)
    assert chosen_store() == chosen_store()
    assert isinstance(chosen_store(), FolderStore)
    settings.SMALLFLEET_STORE = "s3://bucket/some/prefix"
    s3 = chosen_store()
    assert isinstance(s3, S3Store)
    assert (s3.bucket, s3.prefix) == ("bucket", "some/prefix")


@pytest.mark.parametrize("address", ["relative/path", "http://bucket/x", "s3://", "s3:///prefix"])
def test_address_that_is_no_store_is_refused(settings: Settings, address: str) -> None:
    settings.SMALLFLEET_STORE = address
    with pytest.raises(ImproperlyConfigured, match="SMALLFLEET_STORE"):
        chosen_store()


def test_secret_of_the_object_store_is_not_printed(settings: Settings) -> None:
    settings.SMALLFLEET_STORE = "s3://bucket"
    settings.SMALLFLEET_S3_SECRET_ACCESS_KEY = "very-secret"
    assert "very-secret" not in repr(chosen_store())

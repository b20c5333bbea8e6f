"""What every store has to do, whatever it is made of; `test_storage` and `test_s3` run it on theirs."""

import pytest

from registry.storage import ArtifactStore
from tests.factories.registry import digest

MISSING = "0" * 64


def read_all(store: ArtifactStore, sha256: str, start: int = 0, end: int | None = None) -> bytes:
    """The bytes that `open` gives, read in small pieces."""
    file = store.open(sha256, start, end)
    try:
        return b"".join(iter(lambda: file.read(1000), b""))
    finally:
        file.close()


def put(store: ArtifactStore, content: bytes) -> str:
    """Stage and commit."""
    with store.stage() as staged:
        for offset in range(0, len(content), 1_000_000):
            staged.write(content[offset : offset + 1_000_000])
        store.commit(staged, digest(content))
    return digest(content)


class StoreContract:
    """The tests; a subclass gives the fixture `artifact_store`."""

    def test_committed_file_is_there_whole_and_in_parts(self, artifact_store: ArtifactStore) -> None:
        content = bytes(range(256)) * 20
        sha256 = put(artifact_store, content)
        assert artifact_store.exists(sha256)
        assert artifact_store.size(sha256) == len(content)
        assert read_all(artifact_store, sha256) == content
        assert read_all(artifact_store, sha256, 100) == content[100:]
        assert read_all(artifact_store, sha256, 100, 3000) == content[100:3000]
        with artifact_store.as_file(sha256) as path:
            assert path.read_bytes() == content

    def test_committing_the_same_bytes_again_is_harmless(self, artifact_store: ArtifactStore) -> None:
        put(artifact_store, b"twice")
        assert read_all(artifact_store, put(artifact_store, b"twice")) == b"twice"
        assert [file.sha256 for file in artifact_store.files()] == [digest(b"twice")]

    def test_missing_file_is_file_not_found_everywhere(self, artifact_store: ArtifactStore) -> None:
        assert not artifact_store.exists(MISSING)
        with pytest.raises(FileNotFoundError):
            artifact_store.open(MISSING)
        with pytest.raises(FileNotFoundError):
            artifact_store.size(MISSING)
        with pytest.raises(FileNotFoundError):
            artifact_store.delete(MISSING)
        with pytest.raises(FileNotFoundError), artifact_store.as_file(MISSING):
            pass

    def test_deleted_file_is_gone(self, artifact_store: ArtifactStore) -> None:
        sha256 = put(artifact_store, b"short-lived")
        artifact_store.delete(sha256)
        assert not artifact_store.exists(sha256)

    def test_listing_has_size_and_time(self, artifact_store: ArtifactStore) -> None:
        put(artifact_store, b"listed")
        (file,) = artifact_store.files()
        assert (file.sha256, file.size_bytes) == (digest(b"listed"), 6)
        assert file.modified_at > 1_600_000_000

    def test_staged_file_that_is_not_committed_leaves_nothing(self, artifact_store: ArtifactStore) -> None:
        with artifact_store.stage() as staged:
            staged.write(b"half")
            assert list(artifact_store.staging.iterdir()) == [staged.path]
        assert list(artifact_store.staging.iterdir()) == []
        assert list(artifact_store.files()) == []

    @pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, f"{'0' * 63}\n", ""])
    def test_name_that_is_no_digest_is_refused(self, artifact_store: ArtifactStore, name: str) -> None:
        with pytest.raises(ValueError, match="no SHA-256"):
            artifact_store.open(name)

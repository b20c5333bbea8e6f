"""Where artifacts lie: a folder or an S3-compatible store, chosen by `SMALLFLEET_STORE`."""

from registry.storage.base import ArtifactStore, Readable, Staged, StoredFile, digest_path
from registry.storage.choice import store

__all__ = ["ArtifactStore", "Readable", "Staged", "StoredFile", "digest_path", "store"]

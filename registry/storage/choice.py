"""Which store the settings name."""

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from registry.storage.base import ArtifactStore
from registry.storage.folder import FolderStore
from registry.storage.s3 import S3Access, S3Store


def store() -> ArtifactStore:
    """The store of `SMALLFLEET_STORE`: the path of a folder, or `s3://bucket/prefix`.

    Raises:
        ImproperlyConfigured: it is neither.
    """
    return _store(
        settings.SMALLFLEET_STORE,
        settings.SMALLFLEET_STAGING,
        S3Access(
            settings.SMALLFLEET_S3_ENDPOINT_URL,
            settings.SMALLFLEET_S3_REGION,
            settings.SMALLFLEET_S3_ACCESS_KEY_ID,
            settings.SMALLFLEET_S3_SECRET_ACCESS_KEY,
        ),
    )


@lru_cache(maxsize=8)
def _store(address: str, staging: str, access: S3Access) -> ArtifactStore:
    """One store per set of settings: an S3 client holds connections worth keeping."""
    if "://" not in address:
        if not Path(address).is_absolute():
            raise ImproperlyConfigured(f"SMALLFLEET_STORE={address!r} is no absolute path and no s3:// address")
        return FolderStore(Path(address))
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise ImproperlyConfigured(f"SMALLFLEET_STORE={address!r} is no absolute path and no s3://bucket/prefix")
    return S3Store(parts.netloc, parts.path.strip("/"), Path(staging), access)

"""A store in an S3-compatible bucket. boto3 is imported when the first store is made, so that a folder needs none of it.

Files above one part are sent as multipart uploads straight from the staged file, so memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import StoreFull, StoreUnavailable
from registry.storage.base import Readable, Staged, StoredFile, digest_path

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES = 8 * 1024**2
"""Of a multipart upload; S3 asks for at least 5 MiB and allows 10,000 parts, so 2 GiB fit easily."""
URL_LIFETIME_S = 900
_READ_BYTES = 256 * 1024
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_FULL = frozenset({"QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull"})


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach the store. What is empty is left to boto3's own chain (environment, profile, instance role)."""

    endpoint_url: str = ""
    region: str = "us-east-1"
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class S3Store:
    """`s3://bucket/prefix/sha256/ab/cd/<digest>`; uploads wait for their check in the local folder `staging`."""

    bucket: str
    prefix: str
    staging: Path
    access: S3Access

    @cached_property
    def _client(self) -> S3Client:
        import boto3
        from botocore.config import Config

        session = (
            boto3.session.Session()
        )  # of our own: boto3's default session is not safe to create in several threads
        return session.client(
            "s3",
            endpoint_url=self.access.endpoint_url or None,
            region_name=self.access.region,
            aws_access_key_id=self.access.access_key_id or None,
            aws_secret_access_key=self.access.secret_access_key or None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=10,
                read_timeout=60,
                retries={"max_attempts": 3, "mode": "standard"},
                # Stores that are not Amazon's refuse the newer trailing checksums; we compare digests ourselves.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def _key(self, sha256: str) -> str:
        return f"{self._root}{digest_path(sha256)}"

    @property
    def _root(self) -> str:
        return f"{self.prefix.strip('/')}/sha256/".lstrip("/")

    def stage(self) -> Staged:
        return Staged(self.staging)

    def commit(self, staged: Staged, sha256: str) -> None:
        from boto3.s3.transfer import TransferConfig

        staged.finish()
        transfer = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
        with _s3_errors():
            self._client.upload_file(
                str(staged.path),
                self.bucket,
                self._key(sha256),
                Config=transfer,
                ExtraArgs={
                    "ContentType": "application/octet-stream",
                    "CacheControl": "private, max-age=31536000, immutable",
                },
            )

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> Readable:
        if end is not None and end <= start:
            raise ValueError(f"the range {start}-{end} is empty")
        wanted = f"bytes={start}-{'' if end is None else end - 1}"
        with _s3_errors():
            body = self._client.get_object(Bucket=self.bucket, Key=self._key(sha256), Range=wanted)["Body"]
        return _Body(body)

    @contextmanager
    def as_file(self, sha256: str) -> Iterator[Path]:
        part = self.open(sha256)
        with self.stage() as staged:
            try:
                while chunk := part.read(_READ_BYTES):
                    staged.write(chunk)
            finally:
                part.close()
            staged.finish()
            yield staged.path

    def exists(self, sha256: str) -> bool:
        try:
            self.size(sha256)
        except FileNotFoundError:
            return False
        return True

    def size(self, sha256: str) -> int:
        with _s3_errors():
            return self._client.head_object(Bucket=self.bucket, Key=self._key(sha256))["ContentLength"]

    def delete(self, sha256: str) -> None:
        self.size(sha256)  # S3 says nothing when what is to be deleted is missing
        with _s3_errors():
            self._client.delete_object(Bucket=self.bucket, Key=self._key(sha256))

    def url(self, sha256: str, filename: str | None = None) -> str | None:
        params = {"Bucket": self.bucket, "Key": self._key(sha256)}
        if filename:
            params["ResponseContentDisposition"] = f'attachment; filename="{filename}"'
        return self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=URL_LIFETIME_S)

    def files(self) -> Iterator[StoredFile]:
        with _s3_errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._root):
                for entry in page.get("Contents", []):
                    name = entry["Key"].rpartition("/")[2]
                    yield StoredFile(name, entry["Size"], entry["LastModified"].timestamp())

    def check_reachable(self) -> None:
        """Ask for the bucket.

        Raises:
            FileNotFoundError: there is no such bucket.
            StoreUnavailable: the store does not answer, or refuses us.
        """
        with _s3_errors():
            self._client.head_bucket(Bucket=self.bucket)


class _Body:
    """The body of a GET, with the store's read errors as ours."""

    def __init__(self, body: Readable) -> None:
        self._body = body

    def read(self, size: int = -1, /) -> bytes:
        with _s3_errors():
            # botocore's body takes None for "all", not -1
            return self._body.read(size) if size >= 0 else self._body.read()

    def close(self) -> None:
        self._body.close()


@contextmanager
def _s3_errors() -> Iterator[None]:
    """Speak of S3's failures as every store does."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            raise FileNotFoundError(code) from error
        if code in _FULL:
            raise StoreFull("the object store has no room for this file; free some space and send it again") from error
        raise StoreUnavailable(
            "the object store refused; look at its credentials and bucket in the server's log"
        ) from error
    except (BotoCoreError, S3UploadFailedError) as error:
        raise StoreUnavailable("the object store does not answer; try again") from error

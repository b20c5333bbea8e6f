"""A bundle: one poll answer's entry, the signed metadata and the bytes they speak of, in a tar, for a device without a link.

The steps are those after a poll, with members of the tar in place of downloads. No member is ever extracted by its path:
members are looked up by names that this module makes itself from checked digests, and copied with a cap.
"""

import logging
import tarfile
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from agent import disk, wire
from agent.config import Config
from agent.connection import Counted
from agent.errors import BundleInvalid, WireInvalid
from agent.layout import CHUNK_BYTES, Layout, sha256_of
from agent.wire import Blob, Entry

SCHEMA = "smallfleet-bundle/1"
INDEX_MEMBER, NEWS_MEMBER = "bundle.json", "trust.json"
MAX_INDEX_BYTES = 1 << 20
MAX_MEMBERS = 64

log = logging.getLogger(__name__)


class Bundle:
    """An open bundle file; a source of artifacts."""

    is_link: ClassVar[bool] = False

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise BundleInvalid("bundle-unreadable", f"{path} cannot be read: {error.strerror}") from error
        except tarfile.TarError as error:
            raise BundleInvalid("bundle-unreadable", f"{path} is no uncompressed tar: {error}") from error
        self._members: dict[str, tarfile.TarInfo] = {}

    def __enter__(self) -> Self:
        try:
            self._members = self._list()
        except BaseException:
            self._tar.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def entry(self, config: Config) -> Entry:
        """What the bundle wants to install.

        Raises:
            BundleInvalid: it has no readable index, or is for a model line that this device does not have.
        """
        try:
            installation = _installation(wire.parse_json(self._read(INDEX_MEMBER, "bundle-index"), INDEX_MEMBER))
            entry = wire.parse_entry(
                installation, models=config.models, max_artifact_bytes=config.download.max_artifact_bytes
            )
        except WireInvalid as error:
            raise BundleInvalid("bundle-index", str(error)) from error
        if entry is None:
            raise BundleInvalid(
                "bundle-model", f"the bundle is for none of this device's lines: {', '.join(config.models)}"
            )
        return entry

    def news(self) -> bytes:
        """The signed metadata: what the server answers to a device that has no root yet.

        Raises:
            BundleInvalid: there is none of a size that it can have.
        """
        return self._read(NEWS_MEMBER, "bundle-trust")

    def _read(self, name: str, reason: str) -> bytes:
        member = self._members.get(name)
        stream = None if member is None or member.size > MAX_INDEX_BYTES else self._tar.extractfile(member)
        if stream is None:
            raise BundleInvalid(reason, f"expected {name} of at most {MAX_INDEX_BYTES} bytes")
        return stream.read(MAX_INDEX_BYTES)

    def fetch(self, blob: Blob, *, attempt: str) -> None:
        """Copy one artifact to `downloads/<sha256>`; the attempt is of no interest to a file."""
        whole, part = self._layout.downloaded(blob.sha256), self._layout.part(blob.sha256)
        if whole.is_file():
            return
        log.info("bundle_member", extra={"sha256": blob.sha256, "attempt": attempt})
        member = self._members.get(f"artifacts/{blob.sha256}")
        stream = None if member is None else self._tar.extractfile(member)
        if member is None or stream is None:
            raise BundleInvalid("bundle-incomplete", f"the bundle has no artifact {blob.sha256}")
        if member.size != blob.size_bytes:
            raise BundleInvalid("wrong-length", f"{blob.sha256}: announced {blob.size_bytes} bytes, is {member.size}")
        disk.remove_file(part)
        with disk.appending(part) as appender:
            while piece := stream.read(CHUNK_BYTES):
                appender.append(piece)
            appender.sync()
        if sha256_of(part) != blob.sha256:
            disk.remove_file(part)
            raise BundleInvalid("wrong-digest", f"the bundle's artifact {blob.sha256} has other bytes")
        disk.rename(part, whole)

    def counted(self) -> Counted:
        """No byte of a bundle goes over a link."""
        return Counted()

    def _list(self) -> dict[str, tarfile.TarInfo]:
        """The regular members by name; everything else, and everything with another name, is never looked at."""
        members: dict[str, tarfile.TarInfo] = {}
        try:
            while (member := self._tar.next()) is not None:
                if len(members) >= MAX_MEMBERS:
                    raise BundleInvalid("bundle-unreadable", f"more than {MAX_MEMBERS} members")
                if member.isreg() and member.sparse is None:
                    members.setdefault(member.name, member)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise BundleInvalid("bundle-unreadable", f"the tar is damaged: {error}") from error
        return members


def _installation(index: object) -> object:
    if not isinstance(index, dict) or index.get("schema") != SCHEMA:
        raise WireInvalid(f"the schema must be {SCHEMA}")
    return index.get("installation")

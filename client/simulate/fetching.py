"""Artifacts over a simulated link: asked of the real server, resumed by Range, counted, hashed, and not kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.connection import READ_BYTES, Counted
from agent.download import GRACE_SILENCES, LEAST_BYTES_PER_S, MAX_RESUMES
from agent.errors import ServerUnavailable, TransferRejected
from agent.http import raise_for
from agent.wire import Blob
from client.simulate.disk import Disk, Part
from client.simulate.transport import LinkedClient


@dataclass(frozen=True, slots=True)
class LinkSource:
    """`agent.source.Source` for a disk that holds digests."""

    is_link: ClassVar[bool] = True

    client: LinkedClient
    disk: Disk

    def fetch(self, blob: Blob, *, attempt: str) -> None:
        """Bring one artifact, with as many resumes in one go as the agent tries."""
        if blob.sha256 in self.disk.downloads:
            return
        for resumes in range(MAX_RESUMES + 1):
            had = self.disk.received_bytes(blob.sha256)
            try:
                self._transfer(blob, attempt)
                break
            except ServerUnavailable:
                if resumes == MAX_RESUMES or self.disk.received_bytes(blob.sha256) <= had:
                    raise
            except TransferRejected:
                self.disk.parts.pop(blob.sha256, None)
                raise
        part = self.disk.parts.pop(blob.sha256, Part())
        actual = part.digest.hexdigest()
        if actual != blob.sha256:
            raise TransferRejected("wrong-digest", f"expected sha256 {blob.sha256}, received {actual}")
        self.disk.downloads.add(blob.sha256)

    def counted(self) -> Counted:
        return self.client.counted()

    def _transfer(self, blob: Blob, attempt: str) -> None:
        at = self.disk.received_bytes(blob.sha256)
        if at == blob.size_bytes and at:
            return
        seconds = GRACE_SILENCES * self.client.timeout_s + (blob.size_bytes - at) / LEAST_BYTES_PER_S
        with self.client.open(
            "GET", f"artifacts/sha256/{blob.sha256}", _headers(blob, attempt, at), seconds=seconds
        ) as answer:
            if answer.status not in (200, 206):
                raise_for(answer)
            part = self.disk.parts.setdefault(blob.sha256, Part())
            if answer.status == 200 and at:
                part = self.disk.parts[blob.sha256] = Part()
            if answer.length is not None and answer.length != blob.size_bytes - part.received:
                raise TransferRejected(
                    "wrong-length", f"expected {blob.size_bytes - part.received} more bytes, got {answer.length}"
                )
            _take(answer, part, blob, passes=self.client.passes_bytes)


def _headers(blob: Blob, attempt: str, at: int) -> Mapping[str, str]:
    headers = {"Smallfleet-Attempt": attempt}
    return headers | {"Range": f"bytes={at}-", "If-Range": f'"{blob.sha256}"'} if at else headers


def _take(answer: Any, part: Part, blob: Blob, *, passes: int | None) -> None:
    """Read what the link lets through.

    Raises:
        ServerUnavailable: that is not all.
    """
    left = blob.size_bytes - part.received if passes is None else passes
    while left and (piece := answer.read(min(READ_BYTES, left))):
        part.take(piece)
        left -= len(piece)
    if part.received < blob.size_bytes:
        raise ServerUnavailable(f"the body ended {blob.size_bytes - part.received} bytes early")

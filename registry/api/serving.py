"""Answers that carry an artifact: whole, a single range, "not modified", or the address where the store serves it.

An artifact never changes, so its digest is its strong ETag and caches may keep it for a year (RFC 9110 sections 8.8.3,
13.1.5 and 14.2).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from access.actors import Actor, Principal, actor_of
from access.errors import NotFound
from registry.errors import RangeNotSatisfiable, StoreUnavailable
from registry.models import Artifact
from registry.signals import artifact_served
from registry.storage import Readable, store
from registry.visibility import check_sees_line, sees_artifact

BLOCK_BYTES = 64 * 1024
ATTEMPT_HEADER = "Smallfleet-Attempt"
CACHE_CONTROL = "private, max-age=31536000, immutable"
_RANGE = re.compile(r"bytes=(\d{0,20})-(\d{0,20})")


class TemporaryRedirect(HttpResponse):
    """307: the same request, there."""

    status_code = 307

    def __init__(self, address: str) -> None:
        # The address is good for minutes, so nobody may keep it.
        super().__init__(headers={"Location": address, "Cache-Control": "no-store"})


def check_may_read(artifact: Artifact, request: Request) -> None:
    """Let people pass only to artifacts of lines that they may see, and devices only to their own; the others do not exist for them.

    Raises:
        NotFound: it may not read this one.
    """
    reader = request.user
    if isinstance(reader, Principal):
        may_read = reader.may_read_artifact(artifact_id=artifact.pk, kind=artifact.kind)
    else:
        may_read = sees_artifact(actor_of(request), artifact)
    if not may_read:
        raise NotFound(f"there is no artifact {artifact.sha256}")


def check_may_read_line(model: str, request: Request) -> None:
    """Let people pass only to lines that they may see, and devices only to those that they may install.

    Raises:
        NotFound: it may not install this one.
    """
    reader = request.user
    if not isinstance(reader, Principal):
        check_sees_line(actor_of(request), model)
    elif not reader.may_read_line(model):
        raise NotFound(f"there is no model line {model!r}")


def headers_answer(artifact: Artifact) -> HttpResponse:
    """What HEAD answers: this server knows it all, wherever the bytes lie."""
    return HttpResponse(headers={**_headers(artifact), "Content-Length": str(artifact.size_bytes)})


def artifact_answer(artifact: Artifact, request: Request) -> HttpResponseBase:
    """What GET answers.

    Raises:
        RangeNotSatisfiable: the range begins behind the end.
        StoreUnavailable: the store does not answer, or lost the file.
    """
    if {_etag(artifact), "*"} & _etags(request.headers.get("If-None-Match", "")):
        return HttpResponse(status=304, headers=_headers(artifact))
    served = partial(_tell, artifact.sha256, actor_of(request), _attempt(request))
    address = store().url(artifact.sha256)
    if address is not None:
        served(bytes_sent=0, redirected=True)
        return TemporaryRedirect(address)
    wanted = wanted_range(request, artifact)
    start, end = wanted or (0, artifact.size_bytes)
    body = _Body(_open(artifact, start, end), partial(served, redirected=False))
    headers = {**_headers(artifact), "Content-Length": str(end - start)}
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size_bytes}"
    return StreamingHttpResponse(body, status=206 if wanted else 200, headers=headers)


def wanted_range(request: Request, artifact: Artifact) -> tuple[int, int] | None:
    """The single range that is asked for, as start and end (excluded); None for the whole.

    Several ranges at once, an unknown unit, or an `If-Range` that is not this artifact give the whole, as RFC 9110 allows.

    Raises:
        RangeNotSatisfiable: it begins behind the end.
    """
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != _etag(artifact):
        return None
    matched = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if matched is None or matched.groups() == ("", ""):
        return None
    first, last = matched.groups()
    size = artifact.size_bytes
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:  # not a range by the grammar, so it is ignored
            return None
    if start >= size:
        raise RangeNotSatisfiable(
            f"the artifact has {size} bytes; ask for less, or without Range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _headers(artifact: Artifact) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "ETag": _etag(artifact),
        "Accept-Ranges": "bytes",
        "Cache-Control": CACHE_CONTROL,
    }


def _etag(artifact: Artifact) -> str:
    return f'"{artifact.sha256}"'


def _etags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _attempt(request: Request) -> UUID | None:
    """The attempt these bytes are for; anything but a UUID is nobody's attempt."""
    try:
        return UUID(request.headers.get(ATTEMPT_HEADER, ""))
    except ValueError:
        return None


def _open(artifact: Artifact, start: int, end: int) -> Readable:
    try:
        return store().open(artifact.sha256, start, end)
    except FileNotFoundError as error:
        raise StoreUnavailable(f"the store has lost the file of {artifact.sha256}; upload it again") from error


def _tell(sha256: str, actor: Actor, attempt: UUID | None, *, bytes_sent: int, redirected: bool) -> None:
    # Robust: the answer is under way or over, so a listener's failure can only be logged.
    artifact_served.send_robust(
        sender=Artifact, sha256=sha256, bytes_sent=bytes_sent, actor=actor, attempt=attempt, redirected=redirected
    )


@dataclass
class _Body(Iterator[bytes]):
    """Blocks of a file, and at the end, or when the client is gone, one call with the bytes that were taken."""

    file: Readable
    ended: Callable[..., None]
    taken: int = 0
    handed: int = 0
    closed: bool = False

    def __next__(self) -> bytes:
        """The next block; asking for it means that the last one was taken by the connection."""
        self.taken += self.handed
        block = self.file.read(BLOCK_BYTES)
        self.handed = len(block)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.file.close()
            self.ended(bytes_sent=self.taken)

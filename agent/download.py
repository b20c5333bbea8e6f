"""One artifact over HTTP into one file: resumed, capped, paced, and checked by its digest.

The announced size is the cap: not one byte more is written. What an interrupted transfer has brought stays in
`<sha256>.part` and is continued by Range; only a file whose whole digest is right gets its final name. If power fails
here, the part is whatever the file system kept of it, and the digest at the end tells.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from agent import disk
from agent.connection import READ_BYTES, Response
from agent.errors import ServerUnavailable, TransferRejected
from agent.http import Client, raise_for
from agent.layout import Layout, sha256_of
from agent.policy import Refused
from agent.wire import Blob

# A killed process loses nothing that the kernel has, so every piece is handed over as it comes; fsync is for power cuts alone.
# Ten seconds bound what one costs (0.4 MB at 40 kB/s), and are longer than the 5 s after which ext4 commits its journal
# anyway: little flash is worn by it. An fsync of every piece would be one such commit for every packet of a slow link.
SYNC_EVERY_S = 10.0
# A transfer that comes slower than this on average is stopped and resumed with a later poll, so that a server which sends
# one byte a minute does not keep the agent from polling. To begin with, the link may be silent so often for its longest time.
LEAST_BYTES_PER_S = 256
GRACE_SILENCES = 2
# Tries in one call, as long as each brought new bytes.
MAX_RESUMES = 5

log = logging.getLogger(__name__)


class Paused(Exception):
    """A rule of the device's owner stops the transfer before its next request. The part stays, and is continued another time."""

    def __init__(self, refused: Refused) -> None:
        self.refused = refused
        super().__init__(refused.detail)


def all_at_once(wanted_bytes: int) -> int:
    """The grant where no rule asks for less."""
    return wanted_bytes


def download(
    client: Client,
    layout: Layout,
    blob: Blob,
    *,
    attempt: str,
    rate_limit_bytes_per_s: int | None = None,
    grant: Callable[[int], int] = all_at_once,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Bring one artifact to `downloads/<sha256>`; nothing is asked when it is there.

    Before each request `grant` is told how many bytes are missing and answers how many of them the request may bring. It asks
    the server for no more than that, so what overshoots a budget is the head of an answer.

    Raises:
        Paused: by `grant`.
        ServerUnavailable: the link failed; the part stays for the next call.
        RequestRefused: the server will not give it.
        TransferRejected: the bytes are not the ones announced; nothing of them is kept.
        OSError: the disk refused.
    """
    whole = layout.downloaded(blob.sha256)
    if whole.is_file():
        return whole
    part = layout.part(blob.sha256)
    if _size(part) > blob.size_bytes:
        disk.remove_file(part)
    resumes = 0
    while not _is_whole(part, blob):
        had = _size(part)
        seconds = _patience_s(client, blob.size_bytes - had, rate_limit_bytes_per_s)
        patient_until = time.monotonic() + seconds
        try:
            _transfer(
                client,
                part,
                blob,
                attempt=attempt,
                rate=rate_limit_bytes_per_s,
                grant=grant,
                sleep=sleep,
                seconds=seconds,
            )
        except ServerUnavailable as error:
            log.info(
                "transfer_cut",
                extra={"sha256": blob.sha256, "at_bytes": layout.received_bytes(blob.sha256), "why": str(error)},
            )
            is_too_slow = time.monotonic() >= patient_until
            if is_too_slow or resumes == MAX_RESUMES or layout.received_bytes(blob.sha256) <= had:
                raise
            resumes += 1
        except TransferRejected:
            disk.remove_file(part)
            raise
    _check(part, blob)
    disk.rename(part, whole)
    return whole


def _patience_s(client: Client, left_bytes: int, rate: int | None) -> float:
    """How long all that is left may take: all of it may come, whatever is asked for."""
    least = min(LEAST_BYTES_PER_S, (rate or LEAST_BYTES_PER_S) / 2)
    return GRACE_SILENCES * client.timeout_s + left_bytes / least


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _is_whole(part: Path, blob: Blob) -> bool:
    return part.exists() and _size(part) == blob.size_bytes


def _transfer(
    client: Client,
    part: Path,
    blob: Blob,
    *,
    attempt: str,
    rate: int | None,
    grant: Callable[[int], int],
    sleep: Callable[[float], None],
    seconds: float,
) -> None:
    """Ask for what is missing, as far as it is granted, and append it within `seconds`; makes the part durable however it ends."""
    at = _size(part)
    granted = grant(blob.size_bytes - at)
    end = at + granted
    headers = {"Smallfleet-Attempt": attempt}
    if at or end < blob.size_bytes:
        last = "" if end == blob.size_bytes else str(end - 1)
        headers |= {"Range": f"bytes={at}-{last}", "If-Range": f'"{blob.sha256}"'}
    with client.open("GET", f"artifacts/sha256/{blob.sha256}", headers, seconds=seconds) as response:
        if response.status == 416:
            disk.remove_file(part)
            raise ServerUnavailable("the server cannot continue this part; it is fetched again from the start")
        if response.status not in (200, 206):
            raise_for(response)
        if response.status == 200:
            # All of it from the first byte on: nothing less was asked for, or the server knows no ranges.
            if at:
                disk.remove_file(part)
            at, end = 0, blob.size_bytes
        _check_announced(response, blob, at, end)
        with disk.appending(part) as appender:
            try:
                _append(response, appender, end - at, granted, rate=rate, grant=grant, sleep=sleep)
            finally:
                appender.sync()


def _check_announced(response: Response, blob: Blob, at: int, end: int) -> None:
    """Refuse a wrong length before its bytes are paid for."""
    if response.status == 206:
        expected = f"bytes {at}-{end - 1}/{blob.size_bytes}"
        actual = response.getheader("Content-Range") or ""
        if actual != expected:
            raise TransferRejected("wrong-length", f"expected Content-Range {expected!r}, got {actual[:80]!r}")
    if response.length is not None and response.length != end - at:
        raise TransferRejected("wrong-length", f"expected {end - at} more bytes, got {response.length}")


def _append(
    response: Response,
    appender: disk.Appender,
    left: int,
    granted: int,
    *,
    rate: int | None,
    grant: Callable[[int], int],
    sleep: Callable[[float], None],
) -> None:
    """Write the body of `left` bytes as it comes: `read1` waits for no more than there is, so no paid byte lies in this process's memory.

    What is not granted is not read, where a server sends more than it was asked for.
    """
    started_at = synced_at = time.monotonic()
    received, most = 0, min(READ_BYTES, rate or READ_BYTES)
    while True:
        if received == granted < left:
            granted += grant(left - received)
        piece = response.read1(most if granted >= left else min(most, granted - received))
        if not piece:
            break
        received += len(piece)
        if received > left:
            raise TransferRejected("wrong-length", f"{received - left} bytes more than announced")
        appender.append(piece)
        if time.monotonic() - synced_at >= SYNC_EVERY_S:
            appender.sync()
            synced_at = time.monotonic()
        if rate is not None:
            sleep(max(0.0, started_at + received / rate - time.monotonic()))
    if received < left:
        raise ServerUnavailable(f"the body ended {left - received} bytes early")


def _check(part: Path, blob: Blob) -> None:
    """Hash the whole part, as it is on disk; a wrong one is removed."""
    actual = sha256_of(part)
    if actual != blob.sha256:
        disk.remove_file(part)
        raise TransferRejected("wrong-digest", f"expected sha256 {blob.sha256}, received {actual}")

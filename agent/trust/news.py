"""Asking the server for metadata newer than what this device has: when, and over the agent's own client.

Nothing of the answer is believed here; it is bounded, unpacked, and given to the checking child.
"""

from datetime import datetime

from agent.clock import Instant
from agent.connection import Response
from agent.errors import WireInvalid
from agent.http import Client, raise_for, read_capped
from agent.state import News
from agent.trust.verified import Verified, Versions
from agent.wire import Entry

# Where there was nothing newer, or nothing good, the same question is not put again before this.
ASK_AGAIN_S = 6 * 3600.0
# All of a line with 32 targets takes 4 kB packed, 25 kB unpacked; with every root of ten years ten times that.
MAX_PACKED_BYTES, MAX_BYTES = 256 << 10, 1 << 20


def reason_to_ask(entry: Entry | None, says: Verified | None, now: Instant) -> News:
    """What the poll answer speaks of and this device does not know."""
    version = None if entry is None else entry.targets_version
    known = None if says is None else says.versions.targets
    wanted = None if entry is None else entry.target
    is_missing = wanted is not None and (says is None or says.find(wanted) is None)
    return News(
        at=now,
        targets_version=version if version != known else None,
        missing=wanted.sha256 if wanted is not None and is_missing else None,
    )


def is_due(asked: News | None, reason: News, says: Verified | None, at: datetime) -> bool:
    """Whether to ask now: at once for what was not asked for before, else only where something is wrong, and rarely."""
    has_reason = reason.targets_version is not None or reason.missing is not None
    is_stale = says is not None and (says.is_aging(at) or says.is_expired(at))
    if asked is None:
        return has_reason or is_stale
    is_new = (reason.targets_version, reason.missing) != (asked.targets_version, asked.missing)
    if has_reason and is_new:
        return True
    # A device that is never on for so long asks once after each boot.
    is_long_ago = reason.at.boot_id != asked.at.boot_id or reason.at.since(asked.at) >= ASK_AGAIN_S
    return (has_reason or is_stale or asked.denied is not None) and is_long_ago


def fetch(client: Client, model: str, versions: Versions) -> bytes | None:
    """The news document for a device that has these versions; `None` when there is nothing new.

    Raises:
        ServerUnavailable: worth trying again.
        RequestRefused: it is not, such as for a line without metadata.
        WireInvalid: it is longer than it may be, or packed wrongly.
    """
    query = (
        f"root={versions.root}&timestamp={versions.timestamp}&snapshot={versions.snapshot}&targets={versions.targets}"
    )
    path = f"models/{model}/metadata/news?{query}"
    with client.open("GET", path, {"Accept-Encoding": "gzip"}, seconds=4 * client.timeout_s) as response:
        if response.status == 204:
            return None
        if response.status != 200:
            raise_for(response)
        return _unpacked(response)


def _unpacked(response: Response) -> bytes:
    packed, coding = read_capped(response, MAX_PACKED_BYTES), response.getheader("Content-Encoding", "identity")
    if coding == "identity":
        return packed
    if coding != "gzip":
        raise WireInvalid(f"the news are in the coding {str(coding)[:80]!r}")
    import zlib  # here: a daemon at rest does without it

    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = unpacking.decompress(packed, MAX_BYTES)
    except zlib.error as error:
        raise WireInvalid(f"the news are no gzip: {error}") from error
    if not unpacking.eof:
        raise WireInvalid(f"the news are longer than {MAX_BYTES} bytes, or cut off")
    return content

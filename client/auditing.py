"""The audit record's chain, read and followed without the server: docs/audit.md has the layout.

Each line of an export is one link: position, digest of the link before, its own digest, and the record that both cover.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from client.errors import AuditBroken

FIRST_PREVIOUS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends."""

    position: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.position}:{self.sha256}"


EMPTY = Head(0, FIRST_PREVIOUS)


def parse_head(text: str) -> Head:
    """`POSITION:SHA256`.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+):([0-9a-f]{64})", text.strip())
    if found is None:
        raise ValueError(f"expected POSITION:SHA256, got {text[:100]!r}")
    return Head(int(found[1]), found[2])


def digest_of(link: dict[str, Any]) -> str:
    """SHA-256, in hex, of the canonical JSON of position, previous digest and record: keys sorted, no space, UTF-8."""
    covered = {name: link[name] for name in ("position", "previous_sha256", "record")}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def follow(lines: Iterable[str], *, after: Head = EMPTY, kept: Head | None = None) -> Iterator[tuple[str, Head]]:
    """Each line with the head that it makes, as long as the chain holds.

    Args:
        lines: of an export.
        after: the head that the first line continues.
        kept: a head that was kept elsewhere; the chain must go through it, unless it stands before `after`.

    Raises:
        AuditBroken: a line is no link, does not continue the one before, was changed, or `kept` is not in the chain.
    """
    head = after
    for line in lines:
        head = _next(head, line)
        if kept is not None and kept.position == head.position and kept != head:
            raise AuditBroken(
                f"position {head.position} has the digest {head.sha256}, kept was {kept.sha256}: the chain was made anew"
            )
        yield line, head
    if kept is not None and kept.position > head.position:
        raise AuditBroken(f"the chain ends at position {head.position}, kept was {kept.position}: its end is missing")


def _next(head: Head, line: str) -> Head:
    try:
        link = json.loads(line)
        position, previous, sha256 = int(link["position"]), str(link["previous_sha256"]), str(link["sha256"])
        digest = digest_of(link)
    except (ValueError, TypeError, KeyError) as error:
        raise AuditBroken(f"after position {head.position} stands a line that is no link of the chain") from error
    if position != head.position + 1:
        raise AuditBroken(f"position {position} follows {head.position}: what stood between was taken out")
    if previous != head.sha256:
        raise AuditBroken(f"position {position} continues another chain than the one that ends with {head.sha256}")
    if digest != sha256:
        raise AuditBroken(f"position {position} was changed after it was sealed: its digest does not fit its content")
    return Head(position, sha256)

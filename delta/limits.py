"""What a caller allows a patch to cost. All of it is checked before memory is taken or a byte is written."""

import time
from dataclasses import dataclass

from delta.errors import LimitExceeded

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one `apply`.

    `output_bytes` bounds the restored file, `window_bytes` the piece that is decoded at once, `buffer_bytes` the sum of
    what all streams buffer, `index_bytes` the decoded list of spans, `table_bytes` the shared table, `wall_s` the
    elapsed time. `formulas`, `layouts`, their `layout_starts` and `contexts` count what the index lists of them.
    """

    output_bytes: int = 2 * GIB
    window_bytes: int = 4 * MIB
    buffer_bytes: int = 48 * MIB
    index_bytes: int = 8 * MIB
    table_bytes: int = 4 * MIB
    spans: int = 1 << 18
    streams: int = 64
    formulas: int = 1 << 14
    layouts: int = 1 << 14
    layout_starts: int = 1 << 18
    contexts: int = 1 << 14
    wall_s: float = 900.0

    def check(self, limit: str, asked: int) -> None:
        """Compare one figure of a patch with the field of that name.

        Raises:
            LimitExceeded: `asked` is more.
        """
        allowed = getattr(self, limit)
        if asked > allowed:
            raise LimitExceeded(limit, allowed=allowed, asked=asked)


class Deadline:
    """Elapsed time against `Limits.wall_s`, on the monotonic clock."""

    def __init__(self, wall_s: float) -> None:
        self._wall_s = wall_s
        self._started = time.monotonic()

    def check(self) -> None:
        """Raise `LimitExceeded` when the time is used up."""
        elapsed_s = time.monotonic() - self._started
        if elapsed_s > self._wall_s:
            raise LimitExceeded("wall_s", allowed=self._wall_s, asked=round(elapsed_s, 3))

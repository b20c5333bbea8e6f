"""What this server must know of the codec. What it imports of that imports no numpy: each web process would pay for it."""

from delta.effort import MAX_BY_DEFAULT_BYTES, Effort
from delta.versions import FORMAT_VERSION

BUILT_FORMAT = FORMAT_VERSION
"""Which patch format this server builds."""

MAX_EFFORT_BYTES = MAX_BY_DEFAULT_BYTES
"""Up to which size of the new file the encoder takes `max` by itself, and above which `fast`."""

EFFORTS = tuple(effort.value for effort in Effort)
"""The least first."""


def less_than(effort: str) -> tuple[str, ...]:
    """The efforts that are less than this one."""
    return EFFORTS[: EFFORTS.index(effort)]


def default_effort(target_bytes: int) -> str:
    """What the encoder takes where nobody asks."""
    return Effort.for_size(target_bytes).value

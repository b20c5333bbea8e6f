"""How hard the encoder may be asked to try. Imports no more than `enum`, so that a server may ask."""

from enum import StrEnum

MAX_BY_DEFAULT_BYTES = 16_000_000


class Effort(StrEnum):
    """`fast` for large files and impatient rollouts, `max` for the fewest bytes."""

    FAST = "fast"
    MAX = "max"

    @classmethod
    def for_size(cls, size_bytes: int) -> "Effort":
        """What is used when nobody asks: `max` up to 16 MB of new file."""
        return cls.MAX if size_bytes <= MAX_BY_DEFAULT_BYTES else cls.FAST

"""How hard the encoder tries. The decoder does not care."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Settings:
    """What an effort means.

    Levels of the coders by coder name; how much of a tensor is coded to choose its way (`None`: all); whether items are
    coded in contexts, and text by the coders of many models, which take fewer bytes and more time on both sides.
    """

    levels: dict[str, int]
    zstd_level: int
    sample_items: int | None
    contexts: bool
    hard_text: bool


SETTINGS = {
    Effort.FAST: Settings({"zstd": 3, "pcodec": 8}, 9, 1 << 16, contexts=False, hard_text=False),
    Effort.MAX: Settings({"zstd": 19, "planes": 19, "pcodec": 12}, 19, None, contexts=True, hard_text=True),
}

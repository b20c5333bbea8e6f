"""What an effort means to the encoder. The decoder does not care."""

from dataclasses import dataclass

from delta.effort import Effort


@dataclass(frozen=True, slots=True)
class Settings:
    """What the encoder does at one effort.

    Levels of the coders by coder name; how much of a tensor is coded to choose its way (`None`: all); whether items are
    coded in contexts, and text by the coders of many models, which take fewer bytes and more time on both sides; whether
    short text is left whole for these, or what the base has of it copied.
    """

    levels: dict[str, int]
    zstd_level: int
    sample_items: int | None
    contexts: bool
    hard_text: bool
    whole_text: bool = True


SETTINGS = {
    Effort.FAST: Settings({"zstd": 3, "pcodec": 8}, 9, 1 << 16, contexts=False, hard_text=False),
    Effort.MAX: Settings({"zstd": 19, "planes": 19, "pcodec": 12}, 19, None, contexts=True, hard_text=True),
}

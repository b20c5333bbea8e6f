"""What a pair is made by: a recipe gets the workshop folder, where it may keep what is slow to get, and returns the files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.pairs import Made, PairClass


@dataclass(frozen=True, slots=True)
class Recipe:
    """One pair of the corpus. `how` is one line for a reader who wants to know where the files come from."""

    pair_class: PairClass
    name: str
    how: str
    make: Callable[[Path], Made]

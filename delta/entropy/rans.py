"""Asymmetric numeral coding with many states side by side, so that numpy does the work.

Item i belongs to lane i modulo the number of lanes. A step decodes one item of every lane: slot, table look-up, new
state, and a 16-bit word for each lane that has run low, taken from one common sequence in the order of the lanes. The
coder is Duda's range variant (https://arxiv.org/abs/1311.2540), interleaved after Giesen
(https://arxiv.org/abs/1402.3392). States are 32 bits, at least 2^16 between steps.
"""

import numpy as np
import numpy.typing as npt

from delta.entropy.bits import ByteSource
from delta.entropy.symbols import Numbers
from delta.errors import PatchMalformed

LOW = 1 << 16
MAX_LANES = 4096
MAX_PRECISION = 14
MAX_SLOTS = 1 << 20


class Decoder:
    """Decodes items in their order, any number at a time; each has a context, known before it is decoded."""

    def __init__(self, slots: Numbers, precision: int, states: Numbers, words: ByteSource) -> None:
        """`slots`: for every table its 2 ** `precision` slots in turn, as `slots_of` makes them."""
        self._slots = slots
        self._precision = precision
        self._states = states
        self._words = words
        self._kept: npt.NDArray[np.uint16] = np.empty(0, np.uint16)
        self._kept_at = 0
        self._lane = 0

    def take(self, starts: Numbers) -> Numbers:
        """The next symbols; `starts` (int64) is the first slot of each item's table. Changes `starts`.

        Raises:
            PatchMalformed: the words end before.
        """
        found = np.empty(starts.size, np.int64)
        lanes = self._states.size
        at = 0
        while at < starts.size:
            count = min(lanes - self._lane, starts.size - at)
            self._step(starts[at : at + count], found[at : at + count])
            at += count
            self._lane = (self._lane + count) % lanes
        found &= 0xFFFF
        return found

    def _step(self, starts: Numbers, found: Numbers) -> None:
        states = self._states[self._lane : self._lane + starts.size]
        starts += states & ((1 << self._precision) - 1)
        self._slots.take(starts, out=found, mode="clip")
        states >>= self._precision
        states *= found >> 32
        states += (found >> 16) & 0xFFFF
        (low,) = (states < LOW).nonzero()
        if low.size:
            states[low] = (states[low] << 16) | self._next_words(low.size)

    def _next_words(self, count: int) -> npt.NDArray[np.uint16]:
        if self._kept.size - self._kept_at < count:
            size = min(1 << 15, self._words.left & ~1)
            fresh = np.frombuffer(self._words.read_exactly(size), "<u2")
            self._kept = np.concatenate((self._kept[self._kept_at :], fresh))
            self._kept_at = 0
            if self._kept.size < count:
                raise PatchMalformed("the words of a coded stream end before its items")
        self._kept_at += count
        return self._kept[self._kept_at - count : self._kept_at]

    @property
    def exhausted(self) -> bool:
        """Whether all words were taken and every lane is back where the encoder began."""
        return self._words.left == 0 and self._kept_at == self._kept.size and bool((self._states == LOW).all())


def slots_of(frequencies: Numbers) -> Numbers:
    """One table by slot: frequency << 32 | distance into the symbol's range << 16 | symbol, int64."""
    symbols = np.repeat(np.arange(frequencies.size, dtype=np.int64), frequencies)
    firsts = np.cumsum(frequencies) - frequencies
    distances = np.arange(symbols.size, dtype=np.int64) - firsts[symbols]
    return (frequencies[symbols] << 32) | (distances << 16) | symbols


def encode(frequencies: Numbers, firsts: Numbers, precision: int, lanes: int) -> tuple[Numbers, bytes]:
    """Code items in order: `frequencies` and `firsts` (int64) are those of each item's symbol in its table.

    Gives the states that a decoder begins with, and the words it takes.
    """
    states = np.full(lanes, LOW, np.int64)
    words: list[npt.NDArray[np.int64]] = []
    for start in range((frequencies.size - 1) // lanes * lanes, -1, -lanes):
        stop = min(start + lanes, frequencies.size)
        state, frequency = states[: stop - start], frequencies[start:stop]
        high = state >= frequency << (32 - precision)
        words.append(state[high] & 0xFFFF)
        state[high] >>= 16
        quotients = state // frequency
        state += quotients * ((1 << precision) - frequency) + firsts[start:stop]
    sequence = np.concatenate(words[::-1]) if words else np.empty(0, np.int64)
    return states, sequence.astype("<u2").tobytes()

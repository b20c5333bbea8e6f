"""What the next bit of a text is likely to be, learnt from the bits before and from a text like it.

Every context of a byte (`contexts`, and what `matching` expects) has a table of bit histories; a table of probabilities
for each context, learnt as well, says what a history is worth. The mixer adds these up, weighted, on the logistic scale;
the weights follow the error (Mahoney, Data Compression Explained, section 4.3.2). There are four sets of weights, by
how long the repeat has gone on.

The primer is not coded, so its bits can be counted by numpy instead of followed one by one: histories then lack the
order of what they saw, which costs nothing that could be measured.
"""

from array import array
from operator import mul

import numpy as np
import numpy.typing as npt

from delta.arrays import Octets
from delta.errors import PatchMalformed
from delta.text import histories, logistic
from delta.text.arithmetic import BitCoder
from delta.text.contexts import COUNT, Contexts, place, salts
from delta.text.matching import Repeat

Places = npt.NDArray[np.int32]

_TABLES = COUNT + 2
"""Two more hold what followed when a certain byte was expected."""
_INPUTS = _TABLES + 1
"""One more is the expectation itself."""
_MIN_TABLE_BITS, _MAX_TABLE_BITS = 10, 18
_RUN_LENGTH = 96
"""From here on the length of a repeat is coded, not its bytes: as few bytes, and several times as fast."""
_PRIMER_CHUNK = 1 << 13
_COUNTED_PLACES = 1 << 17

_HALF = logistic.ONE // 2
_CERTAIN = logistic.ONE - 1
_FIRST_WEIGHT = logistic.ONE // 5
_MIXING_RATE, _MIXING_SHIFT = 6, 18
_ROUNDING = 1 << (_MIXING_SHIFT - 1)
_LIMIT = logistic.LIMIT
_SMALL_ERROR = 1200
"""Nothing is learnt from a bit that was expected to 0.3 %: 0.5 % fewer bytes than learning always, and faster."""
_WORTH_SHIFT, _TRUST_SHIFT = 6, 4
_GRADES = 18
_MISSES = 3
_BROKEN = 9
"""In place of a length: the repeat has just been found to break here. Lengths are told apart below it."""


class Model:
    """Codes `size` bytes after `primer`, once."""

    def __init__(self, coder: BitCoder, size: int, primer: bytes) -> None:
        self._code = coder.code
        self._seen = bytearray(primer)
        self._start = len(primer)
        self._end = self._start + size
        self._table_bits = min(max(self._end.bit_length() + 3, _MIN_TABLE_BITS), _MAX_TABLE_BITS)
        self._salts = salts(self._table_bits)
        self._tables = bytearray(_TABLES << self._table_bits)
        self._contexts = Contexts(self._table_bits)
        self._prime(primer)
        self._repeat = Repeat(self._seen)
        self._broke_off = False
        self._worths = [list(histories.probabilities()) for _ in range(_TABLES)]
        self._trust = [_CERTAIN * (2 * rank + 3) // (2 * rank + 5) for rank in range(_GRADES * (_MISSES + 1))]
        self._weights = [[_FIRST_WEIGHT] * _INPUTS for _ in range(4)]
        bits = size.bit_length() + 1
        self._size_odds, self._second_bit_odds = [_HALF] * bits, [_HALF] * bits
        self._squash, self._stretch = logistic.squash_table(), logistic.stretch_table()

    def code(self, text: bytes | None) -> bytes:
        """The text: encoded, or decoded where it is not known."""
        while len(self._seen) < self._end:
            self._repeat.look()
            if self._repeat.length >= _RUN_LENGTH:
                self._run_on(text)
            if len(self._seen) < self._end:
                self._byte(0 if text is None else text[len(self._seen) - self._start])
        return bytes(self._seen[self._start :])

    def _prime(self, primer: bytes) -> None:
        """Fill the tables as if `primer` had been coded, and move to its end."""
        places = np.empty((COUNT, len(primer)), np.int32)
        for start in range(0, len(primer), _PRIMER_CHUNK):
            found = array("i")
            for byte in primer[start : start + _PRIMER_CHUNK]:
                found.extend(self._contexts.places())
                self._contexts.advance(byte)
            places[:, start : start + _PRIMER_CHUNK] = np.frombuffer(found, np.intc).reshape(-1, COUNT).T
        octets = np.frombuffer(primer, np.uint8)
        tables = np.frombuffer(self._tables, np.uint8).reshape(_TABLES, -1)
        for table, of_table in zip(tables, places, strict=False):
            self._fill(table, of_table & (table.size - 1), octets)

    def _fill(self, table: Octets, places: Places, octets: Octets) -> None:
        """One table: every bit of `octets` counted in its place; a part of the table at a time, to save memory."""
        for first in range(0, table.size, _COUNTED_PLACES):
            part = table[first : first + _COUNTED_PLACES]
            counts = self._counted(first, part.size, places, octets)
            for start in range(0, part.size, _PRIMER_CHUNK):
                some = counts[start : start + _PRIMER_CHUNK]
                used = np.flatnonzero(some.any(axis=1))
                zeros, ones = some[used].T.astype(np.int64)
                part[start + used] = histories.of_counts(zeros, ones)

    def _counted(self, first: int, size: int, places: Places, octets: Octets) -> npt.NDArray[np.uint32]:
        """How many zeros and ones came in each of `size` places from `first` on."""
        counts = np.zeros((size, 2), np.uint32)
        salts_of = np.array(self._salts, np.int32)
        for start in range(0, octets.size, _PRIMER_CHUNK):
            marked = octets[start : start + _PRIMER_CHUNK].astype(np.int32) | 0x100
            for shift in range(7, -1, -1):
                where = (places[start : start + _PRIMER_CHUNK] ^ salts_of[marked >> (shift + 1)]) - first
                inside = (where >= 0) & (where < size)
                np.add.at(counts, (where[inside], (marked >> shift & 1)[inside]), 1)
        return counts

    def _byte(self, wanted: int) -> None:
        """One byte, bit by bit, the highest first."""
        repeat, tables, worths, trust = self._repeat, self._tables, self._worths, self._trust
        code, salts, squash, stretch = self._code, self._salts, self._squash, self._stretch
        successors_of = (histories.successors(0), histories.successors(1))
        expected = self._seen[repeat.at] | 0x100 if repeat.at else 0
        places = self._contexts.places() + self._places_expecting(expected)
        grade = _grade(repeat.length)
        rank = grade + _GRADES * min(repeat.misses, _MISSES)
        known_weights = self._weights[1 + (grade > 8) + (grade > 15)]
        if self._broke_off:
            expected = 0
        prefix = 1
        for shift in range(7, -1, -1):
            salt = salts[prefix]
            found = [tables[where ^ salt] for where in places]
            inputs = [stretch[worth[history]] for worth, history in zip(worths, found, strict=False)]
            likely = expected >> shift & 1 if expected >> (shift + 1) == prefix else None
            if likely is None:
                weights = self._weights[0]
                inputs.append(0)
            else:
                weights = known_weights
                inputs.append(stretch[trust[rank]] if likely else -stretch[trust[rank]])
            mixed = sum(map(mul, weights, inputs)) >> logistic.PROBABILITY_BITS
            probability = squash[mixed if -_LIMIT < mixed < _LIMIT else _LIMIT if mixed > 0 else -_LIMIT]
            bit = code(probability, wanted >> shift & 1)
            prefix = prefix << 1 | bit
            error = ((bit << logistic.PROBABILITY_BITS) - probability) * _MIXING_RATE
            if -_SMALL_ERROR < error < _SMALL_ERROR:
                continue
            weights[:] = [
                weight + ((value * error + _ROUNDING) >> _MIXING_SHIFT)
                for weight, value in zip(weights, inputs, strict=False)
            ]
            target = _CERTAIN if bit else 0
            successors = successors_of[bit]
            for worth, history, where in zip(worths, found, places, strict=False):
                if history:
                    worth[history] += (target - worth[history]) >> _WORTH_SHIFT
                tables[where ^ salt] = successors[history]
            if likely is not None:
                trust[rank] += ((_CERTAIN if likely == bit else 0) - trust[rank]) >> _TRUST_SHIFT
        self._append(prefix & 0xFF)
        if self._broke_off:
            self._broke_off = False
            repeat.at += 1
        elif repeat.at:
            repeat.advance(hit=prefix == expected)

    def _places_expecting(self, expected: int) -> list[int]:
        """Places for the expected byte, by how the repeat has gone so far, and after the last byte."""
        repeat = self._repeat
        last = self._seen[-1] if self._seen else 0
        course = _BROKEN if self._broke_off else min(repeat.length, _BROKEN - 1)
        misses = min(repeat.misses, _MISSES)
        by_course = expected and expected | course << 9 | misses << 13
        by_last = (expected | self._broke_off << 9) << 8 | last
        return [place(by_course, COUNT, self._table_bits), place(by_last, COUNT + 1, self._table_bits)]

    def _run_on(self, text: bytes | None) -> None:
        """Code how many bytes more are as the repeat has them; the one after is not, or the text ends."""
        wanted = 0 if text is None else self._count_repeated(text)
        count = self._number(wanted + 1) - 1
        if count > self._end - len(self._seen):
            raise PatchMalformed("a repeat in a text goes on past its end")
        for _ in range(count):
            self._append(self._seen[self._repeat.at])
            self._repeat.at += 1
        self._repeat.length = 0
        self._repeat.misses += 1
        self._broke_off = True

    def _count_repeated(self, text: bytes) -> int:
        count, at, done = 0, self._repeat.at, len(self._seen) - self._start
        while done + count < len(text):
            source = at + count
            expected = self._seen[source] if source < len(self._seen) else text[source - self._start]
            if expected != text[done + count]:
                break
            count += 1
        return count

    def _number(self, wanted: int) -> int:
        """A number from 1 on: its size in unary, then its bits below the highest; the first of each kind adapt."""
        size = wanted.bit_length() - 1
        coded = 0
        while coded + 1 < len(self._size_odds) and self._adaptive_bit(self._size_odds, coded, int(coded < size)):
            coded += 1
        number = 1
        for shift in range(coded - 1, -1, -1):
            bit = wanted >> shift & 1
            adaptive = shift == coded - 1
            bit = self._adaptive_bit(self._second_bit_odds, coded, bit) if adaptive else self._code(_HALF, bit)
            number = number << 1 | bit
        return number

    def _adaptive_bit(self, odds: list[int], place: int, wanted: int) -> int:
        bit = self._code(max(odds[place], 1), wanted)
        odds[place] += ((_CERTAIN if bit else 0) - odds[place]) >> _TRUST_SHIFT
        return bit

    def _append(self, byte: int) -> None:
        self._seen.append(byte)
        self._contexts.advance(byte)


def _grade(length: int) -> int:
    """The length of a repeat in `_GRADES` steps."""
    return length if length < 16 else 15 + (length >= 24) + (length >= 32)

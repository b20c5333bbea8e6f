"""How contexts share distributions: many contexts say more, few tables cost less; merged while that saves bits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from delta.entropy.symbols import Numbers
from delta.spans import Contexts

ENTRY_BITS = 5.0
"""What one symbol of one table takes in a patch, measured on fine-tunes: levels of neighbours are alike."""
MAX_TABLES = 64

Histograms = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distributions:
    """Tables by symbol counts, and the table of each context (0 for contexts that never come)."""

    counts: list[Numbers]
    table_of_context: npt.NDArray[np.uint8]
    bits: float
    table_bits: float


def distribute(symbols: Numbers, contexts: Contexts, context_count: int) -> Distributions:
    """Share tables among contexts; the same input gives the same tables. `bits` is what symbols and tables cost."""
    used_symbols, columns = _numbered(symbols)
    used_contexts, rows = _numbered(contexts)
    shape = (used_contexts.size, used_symbols.size)
    cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    clusters = _Clusters(cells.reshape(shape).astype(np.float64))
    clusters.merge_neighbours()
    clusters.merge_any()
    counts = []
    table_of_context = np.zeros(context_count, np.uint8)
    for table, (members, histogram) in enumerate(zip(clusters.members, clusters.histograms, strict=True)):
        by_symbol = np.zeros(int(used_symbols[-1]) + 1, np.int64)
        by_symbol[used_symbols] = histogram.astype(np.int64)
        counts.append(by_symbol)
        table_of_context[used_contexts[members]] = table
    table_bits = ENTRY_BITS * sum(int(np.count_nonzero(one)) for one in counts)
    return Distributions(counts, table_of_context, float(clusters.bits.sum()), table_bits)


def _numbered(values: npt.NDArray[np.integer]) -> tuple[Numbers, Numbers]:
    """The distinct values, rising, and for each value its place among them; by counting, because values are small."""
    used = np.flatnonzero(np.bincount(values))
    places = np.zeros(int(used[-1]) + 1, np.int64)
    places[used] = np.arange(used.size)
    return used, places[values]


class _Clusters:
    """Groups of contexts with the histogram of their symbols; `bits` of each, its table included."""

    def __init__(self, histograms: Histograms) -> None:
        self.histograms = list(histograms)
        self.members = [[row] for row in range(len(histograms))]
        self.bits = _bits(histograms)

    def merge_neighbours(self) -> None:
        """Merge contexts that follow one another, the greatest saving first, while it saves."""
        savings = [self._saving(place, place + 1) for place in range(len(self.members) - 1)]
        while savings and max(savings) > 0:
            place = savings.index(max(savings))
            self._merge(place, place + 1)
            del savings[place]
            for beside in (place - 1, place):
                if 0 <= beside < len(savings):
                    savings[beside] = self._saving(beside, beside + 1)

    def merge_any(self) -> None:
        """Merge any two, while it saves or while there are more than `MAX_TABLES`."""
        count = len(self.members)
        savings = np.full((count, count), -np.inf)
        for one in range(count - 1):
            savings[one, one + 1 :] = self._savings(one, one + 1)
        while len(self.members) > 1:
            one, other = divmod(int(savings.argmax()), len(self.members))
            if savings[one, other] <= 0 and len(self.members) <= MAX_TABLES:
                return
            self._merge(one, other)
            savings = np.delete(np.delete(savings, other, 0), other, 1)
            savings[one, one + 1 :] = self._savings(one, one + 1)
            for before in range(one):
                savings[before, one] = self._saving(before, one)

    def _saving(self, one: int, other: int) -> float:
        merged = self.histograms[one] + self.histograms[other]
        return float(self.bits[one] + self.bits[other] - _bits(merged[None])[0])

    def _savings(self, one: int, first: int) -> Histograms:
        others = np.stack(self.histograms[first:]) if first < len(self.histograms) else np.empty((0, 0))
        if not others.size:
            return np.empty(0)
        savings: Histograms = self.bits[one] + self.bits[first:] - _bits(others + self.histograms[one])
        return savings

    def _merge(self, one: int, other: int) -> None:
        self.histograms[one] = self.histograms[one] + self.histograms.pop(other)
        self.members[one] += self.members.pop(other)
        self.bits = np.delete(self.bits, other)
        self.bits[one] = _bits(self.histograms[one][None])[0]


def _bits(histograms: Histograms) -> Histograms:
    """Empirical entropy of each row times its size, plus its table."""
    totals = histograms.sum(axis=1)
    logs = np.log2(np.maximum(histograms, 1.0))
    bits: Histograms = totals * np.log2(np.maximum(totals, 1.0)) - (histograms * logs).sum(axis=1)
    bits += ENTRY_BITS * (histograms > 0).sum(axis=1)
    return bits

"""Latency distributions that can be added up over devices; percentiles cannot.

A DDSketch (Masson, Rim and Lee, VLDB 2019) with 1 % relative accuracy, by Datadog's library: bucket k holds the values in
(g^(k-1), g^k] with g = 1.01 / 0.99, the same everywhere and for ever. So adding up counts gives exactly the sketch of all samples
together, and any quantile of it is within 1 % of the true one. Stored as the first bucket's number and the counts from there on.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

RELATIVE_ACCURACY = 0.01
SCHEME = "ddsketch/0.01"
_MAPPING = LogarithmicMapping(RELATIVE_ACCURACY)


def histogram_of(latencies_ns: Iterable[int]) -> dict[str, Any]:
    """Count latencies into buckets. A reading of 0, below the clock's step, counts as 1 ns."""
    return _pack(_stored(Counter(_MAPPING.key(max(1, latency)) for latency in latencies_ns)))


def merge(histograms: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add histograms up: the exact histogram of all their samples together.

    Raises:
        ValueError: one has another scheme, such as the `log2x8/1` of early reports.
    """
    together = DenseStore()
    for histogram in histograms:
        together.merge(_unpack(histogram))
    return _pack(together)


def quantile(histogram: Mapping[str, Any], share: float) -> float | None:
    """The smallest value that at least `share` of the samples do not exceed, within 1 %; None for an empty histogram.

    Raises:
        ValueError: the histogram has another scheme.
    """
    store = _unpack(histogram)
    n = int(store.count)
    if n == 0:
        return None
    rank = max(0, math.ceil(share * n) - 1)
    # The library takes a share of n - 1 and rounds the rank down: aim at the middle between this rank and the next.
    aim = min(1.0, (rank + 0.5) / (n - 1)) if n > 1 else 0.0
    sketch = BaseDDSketch(mapping=_MAPPING, store=store, negative_store=DenseStore(), zero_count=0)
    return sketch.get_quantile_value(aim)


def samples_in(histogram: Mapping[str, Any]) -> int:
    """How many samples a histogram holds."""
    return sum(histogram["counts"])


def _stored(counts: Mapping[int, int]) -> DenseStore:
    store = DenseStore()
    for bucket, count in counts.items():
        store.add(bucket, count)
    return store


def _unpack(histogram: Mapping[str, Any]) -> DenseStore:
    if histogram["scheme"] != SCHEME:
        raise ValueError(f"histogram scheme {histogram['scheme']!r} cannot be read as {SCHEME!r}")
    return _stored({bucket: count for bucket, count in enumerate(histogram["counts"], histogram["first"]) if count})


def _pack(store: DenseStore) -> dict[str, Any]:
    if store.count == 0:
        return {"scheme": SCHEME, "first": 0, "counts": []}
    bins = store.bins[store.min_key - store.offset : store.max_key - store.offset + 1]
    return {"scheme": SCHEME, "first": store.min_key, "counts": [int(count) for count in bins]}

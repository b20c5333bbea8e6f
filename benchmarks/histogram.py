"""Latency histograms that can be added up over devices; percentiles cannot.

Bucket bounds are the same everywhere and forever, like in HdrHistogram: each power of two is cut into 8 equal parts,
so a bucket is at most 12.5 % wide. Stored as the first bucket's number and the counts from there on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SCHEME = "log2x8/1"
_PARTS_LOG2 = 3
_PARTS = 1 << _PARTS_LOG2


def bucket_of(value: int) -> int:
    """The bucket of a non-negative integer; values below 8 have one each."""
    if value < _PARTS:
        return value
    shift = value.bit_length() - 1 - _PARTS_LOG2
    return (shift << _PARTS_LOG2) + (value >> shift)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """The smallest value in the bucket, and the smallest above it."""
    if bucket < 2 * _PARTS:
        return bucket, bucket + 1
    shift = (bucket >> _PARTS_LOG2) - 1
    low = (bucket - (shift << _PARTS_LOG2)) << shift
    return low, low + (1 << shift)


def histogram_of(values: Iterable[int]) -> dict[str, Any]:
    """Count values into buckets."""
    counts: dict[int, int] = {}
    for value in values:
        bucket = bucket_of(value)
        counts[bucket] = counts.get(bucket, 0) + 1
    return _pack(counts)


def merge(histograms: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add histograms up: the exact histogram of all their samples together.

    Raises:
        ValueError: one has another scheme.
    """
    counts: dict[int, int] = {}
    for histogram in histograms:
        if histogram["scheme"] != SCHEME:
            raise ValueError(f"histogram scheme {histogram['scheme']!r} cannot be merged with {SCHEME!r}")
        for bucket, count in enumerate(histogram["counts"], start=histogram["first"]):
            counts[bucket] = counts.get(bucket, 0) + count
    return _pack(counts)


def quantile(histogram: Mapping[str, Any], share: float) -> float | None:
    """The quantile, taking values to be spread evenly over their bucket; None for an empty histogram."""
    counts: Sequence[int] = histogram["counts"]
    wanted = share * sum(counts)
    seen = 0
    for bucket, count in enumerate(counts, start=histogram["first"]):
        if count and seen + count >= wanted:
            low, high = bucket_bounds(bucket)
            return low + (high - 1 - low) * (wanted - seen) / count
        seen += count
    return None


def _pack(counts: Mapping[int, int]) -> dict[str, Any]:
    first, last = min(counts, default=0), max(counts, default=-1)
    return {"scheme": SCHEME, "first": first, "counts": [counts.get(bucket, 0) for bucket in range(first, last + 1)]}

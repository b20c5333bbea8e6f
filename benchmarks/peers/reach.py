"""What we want to reach, and whether we do. Pure: rows in, verdicts out; a class's figure is its worst pair.

Bytes are exact. Times are processor seconds of one core, which a busy neighbour disturbs less than the wall clock, and
compared only as ratios and rates of one run. Every verdict says what it was judged on, also when that is nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.peers.codecs import GENERIC_PEERS, HDIFF, OURS_FAST, OURS_MAX, PEERS, ZSTD_ALONE
from benchmarks.peers.entropy import CodesEntropy
from benchmarks.peers.measuring import Result, State, Step
from benchmarks.peers.pairs import Pair, PairClass

MIB = 1 << 20
# Of the best peer, by class: the worst pair counts.
BEST_PEER_LIMITS = {
    PairClass.FINE_TUNED: 0.80,
    PairClass.GENTLE: 0.88,
    PairClass.INT8_FINE_TUNED: 0.58,
    PairClass.TO_INT8: 0.03,
    PairClass.TO_FP16: 0.02,
    PairClass.UNRELATED: 0.905,
    PairClass.SHARED_VALUES: 0.75,
}
SAME_WEIGHTS_FILE_SHARE, SAME_WEIGHTS_PEER_SHARE = 0.01, 0.10
ENTROPY_FACTOR, ENTROPY_SLACK_BYTES = 1.05, 600
NEVER_WORSE = 1.005
APPLY_MB_PER_S, APPLY_GROWTH_BYTES = 300.0, 16 * MIB
FAST_MB_PER_S, MAX_OF_HDIFF_SECONDS, MAKE_GROWTH_OF_FILES = 30.0, 1.5, 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """A pair and its results by codec name; `entropy` where codes lie beside it, `noise_bytes` of fine-tunes (`bounds`)."""

    pair: Pair
    results: dict[str, Result]
    entropy: CodesEntropy | None = None
    noise_bytes: float | None = None

    def measured(self, name: str) -> Result | None:
        """The result of a codec, if it is one."""
        result = self.results.get(name)
        return result if result and result.state is State.MEASURED else None

    def best_peer(self, *, generic: bool = False) -> tuple[str, int] | None:
        """The peer with the fewest bytes; `generic` leaves out those that know what a float is."""
        names = [peer.name for peer in (GENERIC_PEERS if generic else PEERS)]
        found = [(result.patch_bytes, name) for name in names if (result := self.measured(name))]
        return (min(found)[1], min(found)[0]) if found else None

    def ratio(self, *, generic: bool = False) -> float | None:
        """Bytes of ours at effort max by those of the best peer."""
        ours, best = self.measured(OURS_MAX.name), self.best_peer(generic=generic)
        return ours.patch_bytes / best[1] if ours and best else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of what we want to reach. `figure` is `None` where nothing was measured; `at` names the worst pair."""

    goal: str
    limit: str
    figure: float | None
    met: bool | None
    at: str = ""
    pairs: int = 0
    unit: str = ""


def judge(rows: list[Row], idle_bytes: int) -> list[Verdict]:
    """Every goal in order. `idle_bytes` is the peak of a bare numpy process."""
    return [*_class_verdicts(rows), *_general_verdicts(rows), *_cost_verdicts(rows, idle_bytes)]


def generic_verdicts(rows: list[Row]) -> list[Verdict]:
    """The classes' figures again, against the best of the peers that know nothing of floats."""
    return [
        _worst(_of(rows, pair_class), lambda row: row.ratio(generic=True), limit, goal=pair_class.heading)
        for pair_class, limit in BEST_PEER_LIMITS.items()
    ]


def _class_verdicts(rows: list[Row]) -> Iterator[Verdict]:
    for pair_class in PairClass:
        chosen = _of(rows, pair_class)
        if pair_class in BEST_PEER_LIMITS:
            yield _worst(chosen, Row.ratio, BEST_PEER_LIMITS[pair_class], goal=pair_class.heading)
        elif pair_class is PairClass.SAME_WEIGHTS:
            text = f"≤ {SAME_WEIGHTS_FILE_SHARE:g} of the file or ≤ {SAME_WEIGHTS_PEER_SHARE:g} of the best peer"
            yield _worst(chosen, _same_weights, 1.0, goal=pair_class.heading, text=text, unit="of the limit")
        elif pair_class is PairClass.SPARSE_DIFFERENCE:
            text = f"≤ {ENTROPY_FACTOR:g} of the codes' entropy + {ENTROPY_SLACK_BYTES} B"
            yield _worst(chosen, _of_entropy, 1.0, goal=pair_class.heading, text=text, unit="of the limit")


def _general_verdicts(rows: list[Row]) -> Iterator[Verdict]:
    yield _worst(rows, Row.ratio, NEVER_WORSE, goal="any pair, effort max")
    text = f"≤ {NEVER_WORSE:g} of {ZSTD_ALONE.name}"
    yield _worst(rows, _fast_of_zstd, NEVER_WORSE, goal="any pair, effort fast", text=text)


def _cost_verdicts(rows: list[Row], idle_bytes: int) -> Iterator[Verdict]:
    large = _of(rows, PairClass.LARGE)
    yield _least(large, lambda row: _rate(row, OURS_FAST.name, "apply"), APPLY_MB_PER_S, "apply, 100 MB, effort fast")
    yield _least(large, lambda row: _rate(row, OURS_MAX.name, "apply"), APPLY_MB_PER_S, "apply, 100 MB, effort max")
    text = f"≤ {APPLY_GROWTH_BYTES // MIB} MiB above a bare numpy process"
    growth_mib = partial(_apply_growth_mib, idle_bytes=idle_bytes)
    yield _worst(rows, growth_mib, APPLY_GROWTH_BYTES / MIB, goal="memory to apply, any pair", text=text, unit="MiB")
    yield _least(large, lambda row: _rate(row, OURS_FAST.name, "make"), FAST_MB_PER_S, "make, 100 MB, effort fast")
    text = f"≤ {MAX_OF_HDIFF_SECONDS:g} of the seconds of {HDIFF.name}"
    for chosen, goal in ((rows, "make, any pair, effort max"), (large, "make, 100 MB, effort max")):
        yield _worst(chosen, _max_of_hdiff, MAX_OF_HDIFF_SECONDS, goal=goal, text=text)
    text = f"≤ {MAKE_GROWTH_OF_FILES:g} of base + new"
    yield _worst(large, _make_growth, MAKE_GROWTH_OF_FILES, goal="memory to make, 100 MB", text=text)


def _same_weights(row: Row) -> float | None:
    """1 where the patch just keeps one of the two limits."""
    ours, ratio = row.measured(OURS_MAX.name), row.ratio()
    if ours is None or ratio is None:
        return None
    return min(ours.patch_bytes / row.pair.new_bytes / SAME_WEIGHTS_FILE_SHARE, ratio / SAME_WEIGHTS_PEER_SHARE)


def _of_entropy(row: Row) -> float | None:
    ours = row.measured(OURS_MAX.name)
    if ours is None or row.entropy is None:
        return None
    return ours.patch_bytes / (ENTROPY_FACTOR * row.entropy.lower_bytes + ENTROPY_SLACK_BYTES)


def _fast_of_zstd(row: Row) -> float | None:
    ours, zstd = row.measured(OURS_FAST.name), row.measured(ZSTD_ALONE.name)
    return ours.patch_bytes / zstd.patch_bytes if ours and zstd else None


def _step(row: Row, name: str, step: str) -> Step | None:
    result = row.measured(name)
    return None if result is None else result.make if step == "make" else result.apply


def _rate(row: Row, name: str, step: str) -> float | None:
    taken = _step(row, name, step)
    return row.pair.new_bytes / 1e6 / taken.cpu_s if taken else None


def _apply_growth_mib(row: Row, idle_bytes: int) -> float | None:
    steps = [taken for codec in (OURS_FAST, OURS_MAX) if (taken := _step(row, codec.name, "apply"))]
    return max((taken.peak_bytes - idle_bytes) / MIB for taken in steps) if steps else None


def _max_of_hdiff(row: Row) -> float | None:
    ours, hdiff = _step(row, OURS_MAX.name, "make"), _step(row, HDIFF.name, "make")
    return ours.cpu_s / hdiff.cpu_s if ours and hdiff else None


def _make_growth(row: Row) -> float | None:
    steps = [taken for codec in (OURS_FAST, OURS_MAX) if (taken := _step(row, codec.name, "make"))]
    files = row.pair.base_bytes + row.pair.new_bytes
    return max(taken.growth_bytes for taken in steps) / files if steps else None


def _of(rows: list[Row], pair_class: PairClass) -> list[Row]:
    return [row for row in rows if row.pair.pair_class is pair_class]


def _worst(
    rows: list[Row],
    figure: Callable[[Row], float | None],
    limit: float,
    *,
    goal: str,
    text: str = "",
    unit: str = "",
) -> Verdict:
    """The largest figure of `rows` against an upper limit."""
    text = text or f"≤ {limit:g} of the best peer"
    figures = [(value, row.pair) for row in rows if (value := figure(row)) is not None]
    if not figures:
        return Verdict(goal, text, None, None, unit=unit)
    value, pair = max(figures, key=lambda entry: entry[0])
    return Verdict(goal, text, value, value <= limit, f"{pair.pair_class}/{pair.name}", len(figures), unit)


def _least(rows: list[Row], rate: Callable[[Row], float | None], limit: float, goal: str) -> Verdict:
    """The smallest rate of `rows` in MB/s against a lower limit."""
    rates = [(value, row.pair) for row in rows if (value := rate(row)) is not None]
    text = f"≥ {limit:g} MB/s"
    if not rates:
        return Verdict(goal, text, None, None, unit="MB/s")
    value, pair = min(rates, key=lambda entry: entry[0])
    return Verdict(goal, text, value, value >= limit, f"{pair.pair_class}/{pair.name}", len(rates), "MB/s")

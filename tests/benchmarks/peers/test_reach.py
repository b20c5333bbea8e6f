"""Verdicts from rows: the worst pair of a class decides, exactly at the limit is met, nothing measured is said."""

from pathlib import Path

import pytest

from benchmarks.peers.entropy import CodesEntropy
from benchmarks.peers.measuring import Result, State, Step
from benchmarks.peers.pairs import Pair, PairClass
from benchmarks.peers.reach import MIB, Row, Verdict, generic_verdicts, judge

IDLE = 30 * MIB


def row(pair_class: PairClass, name: str = "p", *, new_bytes: int = 100_000, codes: float = 0, **bytes_by: int) -> Row:
    """A row by codec: `ours`, `fast`, `hdiff`, `zstd`, `xor` in patch bytes."""
    names = {"ours": "ours max", "fast": "ours fast", "hdiff": "HDiffPatch", "zstd": "zstd -19", "xor": "ZipNN delta"}
    step = Step(wall_s=1.0, cpu_s=1.0, peak_bytes=IDLE + 10 * MIB, rest_bytes=IDLE)
    results = {names[key]: Result(State.MEASURED, size, step, step) for key, size in bytes_by.items()}
    pair = Pair(pair_class, name, "", Path("new"), "0", new_bytes, Path("base"), "1", new_bytes, None)
    return Row(pair, results, CodesEntropy(codes, codes + 1, 5) if codes else None)


def verdict(rows: list[Row], goal: str) -> Verdict:
    (found,) = [entry for entry in judge(rows, IDLE) if entry.goal == goal]
    return found


def test_the_worst_pair_of_a_class_decides() -> None:
    rows = [
        row(PairClass.FINE_TUNED, "good", ours=70, hdiff=100),
        row(PairClass.FINE_TUNED, "bad", ours=81, hdiff=100, zstd=110),
        row(PairClass.GENTLE, "elsewhere", ours=87, hdiff=100),
    ]
    worst = verdict(rows, PairClass.FINE_TUNED.heading)
    assert (worst.figure, worst.met, worst.at, worst.pairs) == (0.81, False, "fp32-fine-tuned/bad", 2)
    assert verdict(rows, PairClass.GENTLE.heading).met


def test_exactly_at_the_limit_is_met() -> None:
    assert verdict([row(PairClass.FINE_TUNED, ours=80, zstd=100)], PairClass.FINE_TUNED.heading).met


def test_nothing_measured_is_neither_met_nor_missed() -> None:
    for entry in judge([], IDLE):
        assert (entry.figure, entry.met, entry.pairs) == (None, None, 0)


def test_a_codec_that_failed_is_no_peer() -> None:
    failed = row(PairClass.OTHER, ours=50, hdiff=100)
    failed.results["xz -9e"] = Result(State.FAILED, reason="does not restore the file")
    assert failed.best_peer() == ("HDiffPatch", 100)


def test_a_codec_of_floats_is_a_peer_but_no_generic_one() -> None:
    rows = [row(PairClass.INT8_FINE_TUNED, ours=55, hdiff=100, xor=80)]
    assert verdict(rows, PairClass.INT8_FINE_TUNED.heading).figure == pytest.approx(55 / 80)
    (generic,) = [v for v in generic_verdicts(rows) if v.goal == PairClass.INT8_FINE_TUNED.heading]
    assert (generic.figure, generic.met) == (0.55, True)


@pytest.mark.parametrize(
    ("ours", "peer", "met"),
    [(999, 999, True), (1001, 999, False), (5000, 50_000, True), (5001, 50_000, False)],
)
def test_the_same_weights_may_take_a_hundredth_of_the_file_or_a_tenth_of_the_peer(
    ours: int, peer: int, *, met: bool
) -> None:
    assert verdict([row(PairClass.SAME_WEIGHTS, ours=ours, hdiff=peer)], PairClass.SAME_WEIGHTS.heading).met is met


@pytest.mark.parametrize(("ours", "met"), [(1650, True), (1651, False)])
def test_sparse_codes_are_held_to_their_entropy(ours: int, *, met: bool) -> None:
    rows = [row(PairClass.SPARSE_DIFFERENCE, codes=1000.0, ours=ours, hdiff=9000)]
    assert verdict(rows, PairClass.SPARSE_DIFFERENCE.heading).met is met


def test_effort_fast_is_compared_with_zstd_alone() -> None:
    rows = [row(PairClass.OTHER, ours=1, fast=101, zstd=100, hdiff=10)]
    assert (verdict(rows, "any pair, effort fast").figure, verdict(rows, "any pair, effort fast").met) == (1.01, False)


def test_rates_and_memory_come_from_the_steps() -> None:
    rows = [row(PairClass.LARGE, new_bytes=100_000_000, ours=1, fast=1, hdiff=2)]
    assert verdict(rows, "apply, 100 MB, effort fast").figure == pytest.approx(100)
    assert verdict(rows, "make, 100 MB, effort fast").met
    assert verdict(rows, "make, any pair, effort max").figure == pytest.approx(1)
    assert verdict(rows, "memory to apply, any pair").figure == pytest.approx(10)
    assert verdict(rows, "memory to make, 100 MB").figure == pytest.approx(10 * MIB / 200_000_000)

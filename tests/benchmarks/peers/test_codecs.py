"""Every codec in its own process: a verified round trip, or a row that says how to install it."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers.codecs import CODECS, HDIFF, OURS_MAX, PEERS, Codec
from benchmarks.peers.measuring import State, idle_peak_bytes, measure
from benchmarks.peers.pairs import Made, Pair, PairClass, write_pair
from benchmarks.peers.results import kept_result, result_of

PACKAGED = {"ours max", "ours fast", "bsdiff4", "HDiffPatch"}
"""What the development environment has in any case."""


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_a_codec_restores_the_file_or_says_how_to_install_it(codec: Codec, pair: Pair, tmp_path: Path) -> None:
    result = result_of(codec, pair, cache=tmp_path, timeout_s=120)
    if codec.version(tmp_path) is None:
        assert codec.name not in PACKAGED
        assert (result.state, result.reason) == (State.NOT_INSTALLED, codec.how_to_install)
        return
    assert result.state is State.MEASURED, result.reason
    assert result.make
    assert result.apply
    assert 100 < result.patch_bytes < 2 * pair.new_bytes
    for step in (result.make, result.apply):
        assert step.wall_s > 0
        assert step.peak_bytes > step.rest_bytes


@pytest.mark.parametrize("codec", PEERS, ids=lambda codec: codec.name)
def test_without_a_base_only_packers_are_asked(codec: Codec, tmp_path: Path) -> None:
    packed = write_pair(tmp_path, PairClass.OTHER, "packed", "a test", Made(new=bytes(5000)))
    assert (codec.refuses(packed.base, packed.new) is None) == (not codec.uses_base)


def test_a_result_is_measured_once(pair: Pair, tmp_path: Path) -> None:
    assert kept_result(HDIFF, pair, cache=tmp_path) is None
    first = result_of(HDIFF, pair, cache=tmp_path, timeout_s=60)
    assert kept_result(HDIFF, pair, cache=tmp_path) == first
    pair.new.unlink()
    assert result_of(HDIFF, pair, cache=tmp_path, timeout_s=60) == first
    assert result_of(HDIFF, pair, cache=tmp_path, timeout_s=60, again=True).state is State.FAILED


def test_another_base_is_another_result(pair: Pair, tmp_path: Path) -> None:
    first = result_of(HDIFF, pair, cache=tmp_path, timeout_s=60)
    other = replace(pair, base=pair.new, base_sha256=pair.new_sha256)
    assert result_of(HDIFF, other, cache=tmp_path, timeout_s=60).patch_bytes < first.patch_bytes


def test_a_failing_step_is_a_result_with_its_reason(pair: Pair, tmp_path: Path) -> None:
    result = measure(HDIFF, replace(pair, base=tmp_path / "absent"), cache=tmp_path, timeout_s=60)
    assert result.state is State.FAILED
    assert "absent" in result.reason


def test_a_step_over_its_time_is_a_result(pair: Pair, tmp_path: Path) -> None:
    result = measure(OURS_MAX, pair, cache=tmp_path, timeout_s=0.01)
    assert (result.state, result.reason) == (State.TIMED_OUT, "over 0.01 s")


def test_an_idle_process_has_the_size_of_numpy() -> None:
    assert 10 << 20 < idle_peak_bytes() < 100 << 20

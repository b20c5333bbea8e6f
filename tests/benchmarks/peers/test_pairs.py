"""Pairs on disk: what is written is read, what is unfinished or damaged is noticed."""

from pathlib import Path

from benchmarks.peers.pairs import MANIFEST, Made, Pair, PairClass, damaged_files, read_pairs, write_pair


def test_a_written_pair_is_read_back(pair: Pair, tmp_path: Path) -> None:
    packed = write_pair(tmp_path / "corpus", PairClass.OTHER, "alone", "a test", Made(new=b"new", suffix=".bin"))
    assert read_pairs(tmp_path / "corpus") == [pair, packed]
    assert (packed.base, packed.base_sha256, packed.new.name) == (None, None, "new.bin")
    assert not list(damaged_files(pair))


def test_a_changed_file_is_named(pair: Pair) -> None:
    pair.new.write_bytes(pair.new.read_bytes() + b"!")
    assert list(damaged_files(pair)) == [pair.new]


def test_a_pair_without_manifest_is_unfinished(pair: Pair, tmp_path: Path) -> None:
    (pair.new.parent / MANIFEST).unlink()
    assert read_pairs(tmp_path / "corpus") == []

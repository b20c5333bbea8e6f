"""The encoder's parts: finding byte matches, choosing what a decoder accepts, arithmetic that must be exact."""

import struct
from pathlib import Path

import numpy as np
import pytest

from delta import encoder, varints
from delta.arrays import ordered, unordered
from delta.effort import MAX_BY_DEFAULT_BYTES
from delta.encoder import Effort
from delta.encoder.effort import SETTINGS
from delta.encoder.matcher import Matcher, rolling_hashes
from delta.encoder.plan import draft_plain
from delta.errors import EncodingFailed, PatchMalformed
from delta.format import Identity

WINDOW_FIELD = struct.Struct("<I")
NEW = np.frombuffer(b"what the patch restores", np.uint8)


def patch_of(plain: np.ndarray, sha256: str, *, window_bytes: int) -> list[bytes]:
    """A plain patch whose header asks for a window of that size and promises that digest."""
    header, *rest = draft_plain(plain, SETTINGS[Effort.FAST]).serialise(None, Identity(sha256, plain.size))
    return [header[:12] + WINDOW_FIELD.pack(window_bytes) + header[16:], *rest]


def test_a_candidate_over_a_decoders_limits_gives_way_to_the_next(tmp_path: Path) -> None:
    sha256 = encoder._identity(NEW).sha256
    too_much, fits = (patch_of(NEW, sha256, window_bytes=size) for size in (1 << 30, 1 << 16))
    encoder._write_first_that_fits(None, tmp_path / "patch", [too_much, fits])
    assert (tmp_path / "patch").read_bytes() == b"".join(fits)
    with pytest.raises(EncodingFailed, match="window_bytes"):
        encoder._write_first_that_fits(None, tmp_path / "patch", [too_much])


def test_a_patch_that_restores_something_else_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(EncodingFailed, match="does not restore"):
        encoder._write_first_that_fits(None, tmp_path / "patch", [patch_of(NEW, "00" * 32, window_bytes=1 << 16)])


def test_no_patch_is_left_when_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "patch").write_bytes(b"older")
    with pytest.raises(FileNotFoundError):
        encoder.encode(None, tmp_path / "nowhere", tmp_path / "patch")
    assert [path.name for path in tmp_path.iterdir()] == ["patch"]
    assert (tmp_path / "patch").read_bytes() == b"older"


def test_effort_by_default_is_max_up_to_sixteen_megabytes() -> None:
    assert Effort.for_size(MAX_BY_DEFAULT_BYTES) is Effort.MAX
    assert Effort.for_size(MAX_BY_DEFAULT_BYTES + 1) is Effort.FAST


def test_rolling_hashes_equal_the_polynomial() -> None:
    plain = np.frombuffer(bytes(range(40)), np.uint8)
    factor, modulus = 0x9E3779B97F4A7C15, 1 << 64
    expected = []
    for start in range(len(plain) - 15):
        value = 0
        for byte in plain[start : start + 16].tolist():
            value = (value * factor + byte) % modulus
        expected.append(value)
    assert rolling_hashes(plain, 16).tolist() == expected


def test_matches_are_true_ordered_and_apart() -> None:
    numbers = np.random.default_rng(6)
    base = numbers.integers(0, 256, 50_000, np.uint8)
    new = np.concatenate([base[30_000:45_000], numbers.integers(0, 256, 500, np.uint8), base[:20_000], base[:64]])
    matches = list(Matcher(base).matches(new, 0, new.size, 0))
    at = 0
    for match in matches:
        assert match.target >= at
        at = match.target + match.length
        assert np.array_equal(new[match.target : at], base[match.base : match.base + match.length])
    assert sum(match.length for match in matches) >= 35_064


@pytest.mark.parametrize("width", [2, 4, 8])
def test_ordered_is_a_bijection_in_the_order_of_the_numbers(width: int) -> None:
    numbers = np.sort(np.random.default_rng(8).normal(size=1000).astype(f"<f{width}"))
    bits = numbers.view(f"<u{width}")
    ranks = ordered(bits)
    assert (np.diff(ranks.astype(object)) >= 0).all()
    assert np.array_equal(unordered(ranks), bits)
    everything = (
        np.random.default_rng(9).integers(0, 1 << (8 * width - 1), 5000, np.uint64).astype(f"<u{width}") * 2 + 1
    )
    assert np.array_equal(unordered(ordered(everything)), everything)
    assert np.array_equal(ordered(unordered(everything)), everything)


def test_varints_come_back_at_every_length() -> None:
    values = [edge + step for power in range(0, 63, 7) for edge in (1 << power,) for step in (-1, 0, 1)] + [
        (1 << 63) - 1
    ]
    coded = np.frombuffer(varints.encode(values), np.uint8)
    assert varints.decode(coded).tolist() == values
    assert [varints.unfold(varints.fold(value)) for value in range(-300, 300)] == list(range(-300, 300))


@pytest.mark.parametrize("coded", [b"\x80", b"\x01\xff", b"\x80" * 9 + b"\x01"])
def test_varints_cut_or_too_long_are_malformed(coded: bytes) -> None:
    with pytest.raises(PatchMalformed):
        varints.decode(np.frombuffer(coded, np.uint8))

"""Stretches of a new file that are nearly the base's, and what a patch makes of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from delta import decoder
from delta.encoder import Effort, encode
from delta.encoder.covers import Cover, find_covers
from delta.text.codec import MAX_TEXT_BYTES

Octets = npt.NDArray[np.uint8]


def _noise(size: int, seed: int = 1) -> Octets:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def _whole(file: Octets) -> list[tuple[int, int]]:
    return [(0, file.size)]


def test_an_inserted_stretch_splits_a_cover() -> None:
    base = _noise(10_000)
    new = np.concatenate((base[:4000], _noise(500, 2), base[4000:]))
    assert list(find_covers(base, _whole(base), new, _whole(new))) == [Cover(0, 0, 4000), Cover(4000, 4500, 6000)]


def test_changed_bytes_do_not_split_a_cover() -> None:
    base = _noise(10_000)
    new = base.copy()
    new[100::100] += 1
    assert list(find_covers(base, _whole(base), new, _whole(new))) == [Cover(0, 0, 10_000)]


def test_stretches_may_come_in_another_order() -> None:
    base = _noise(10_000)
    new = np.concatenate((base[5000:], base[:5000]))
    assert list(find_covers(base, _whole(base), new, _whole(new))) == [Cover(5000, 0, 5000), Cover(0, 5000, 5000)]


def test_covers_keep_within_the_ranges_of_both_files() -> None:
    base = _noise(10_000)
    covers = list(find_covers(base, [(0, 3000), (7000, 3000)], base, [(0, 1000), (2000, 6000)]))
    assert covers == [Cover(0, 0, 1000), Cover(2000, 2000, 1000), Cover(7000, 7000, 1000)]


@pytest.mark.parametrize(("base", "new"), [(0, 100), (100, 0)])
def test_nothing_covers_nothing(base: int, new: int) -> None:
    one, other = _noise(base), _noise(new)
    assert list(find_covers(one, _whole(one) if base else [], other, _whole(other) if new else [])) == []


def _patch_bytes(folder: Path, base: Octets, new: Octets) -> tuple[int, dict[str, int]]:
    for name, file in (("base", base), ("new", new)):
        (folder / name).write_bytes(file.tobytes())
    report = encode(folder / "base", folder / "new", folder / "patch", effort=Effort.MAX)
    decoder.apply(folder / "base", folder / "patch", folder / "out")
    assert (folder / "out").read_bytes() == new.tobytes()
    return report.patch_bytes, report.spans


def test_a_long_file_with_scattered_changes_takes_about_the_changes(tmp_path: Path) -> None:
    base = _noise(3 * MAX_TEXT_BYTES)
    new = base.copy()
    new[1000:50_000:500] += 1
    size, spans = _patch_bytes(tmp_path, base, new)
    assert spans == {"copy": 1, "copy+changes": 1}
    assert size < 400


def test_a_long_file_with_new_stretches_takes_about_those(tmp_path: Path) -> None:
    base = _noise(3 * MAX_TEXT_BYTES)
    new = np.concatenate((base[:50_000], _noise(700, 2), base[90_000:], _noise(300, 3)))
    size, _ = _patch_bytes(tmp_path, base, new)
    assert 1000 < size < 1300


def test_a_long_file_like_nothing_in_the_base_comes_back(tmp_path: Path) -> None:
    new = np.frombuffer(b"all work and no play " * 5000, np.uint8)
    size, _ = _patch_bytes(tmp_path, _noise(100_000), new)
    assert size < 400

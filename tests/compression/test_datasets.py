"""Data sets, splits and folds are the same everywhere, and a file of one's own is as good."""

from pathlib import Path

import numpy as np
import pytest

from compression.datasets import NAMED, Samples, folds, load_samples, split, write_samples_file
from compression.errors import DataUnusable

DIGESTS = {
    "digits": "8b3b6ae90863430bdef06a3f7d1ec2f6a905a53d3375655b18cf63780ad98772",
    "mnist": "75a1e1c23fccf7ae91af19df5a4999eec369a95f06e9d1ef4744f77eb6d17324",
    "mnist14": "b2d91655012b51408d479987ead95e8c6ae8402cf5ee1011a9ca2fac32d0ec39",
}


@pytest.fixture
def ours() -> Samples:
    chance = np.random.default_rng(1)
    return Samples({"x": chance.normal(size=(40, 3)).astype(np.float32)}, np.arange(40) % 4)


@pytest.mark.parametrize("name", NAMED)
def test_named_set_has_the_bytes_it_had_when_figures_were_measured(name: str) -> None:
    assert load_samples(name).sha256() == DIGESTS[name]


def test_file_of_ones_own_comes_back_as_it_was_written(tmp_path: Path, ours: Samples) -> None:
    write_samples_file(tmp_path / "ours.npz", ours)
    again = load_samples(str(tmp_path / "ours.npz"))
    assert again.sha256() == ours.sha256()
    assert list(again.inputs) == ["x"]


def test_file_without_labels_can_calibrate_and_says_so_where_labels_are_needed(tmp_path: Path, ours: Samples) -> None:
    write_samples_file(tmp_path / "ours.npz", Samples(ours.inputs, None))
    again = load_samples(str(tmp_path / "ours.npz"))
    assert again.labels is None
    with pytest.raises(DataUnusable, match="no labels"):
        again.classes  # noqa: B018 - the look is the test


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataUnusable, match=r"mnits: neither a file nor a named set \(digits, mnist, mnist14\)"):
        load_samples("mnits")


def test_value_that_is_not_finite_names_its_array(tmp_path: Path, ours: Samples) -> None:
    broken = ours.inputs["x"].copy()
    broken[3, 1] = np.nan
    write_samples_file(tmp_path / "ours.npz", Samples({"x": broken}, None))
    with pytest.raises(DataUnusable, match="input:x has values that are not finite"):
        load_samples(str(tmp_path / "ours.npz"))


def test_every_sample_is_left_out_once_and_never_trained_on_by_its_fold(ours: Samples) -> None:
    left_out = []
    for train, fold in folds(ours, count=5):
        here = {row.tobytes() for row in fold.images}
        assert not here & {row.tobytes() for row in train.images}
        assert set(fold.classes.tolist()) == {0, 1, 2, 3}
        left_out += sorted(here)
    assert sorted(left_out) == sorted(row.tobytes() for row in ours.images)


def test_split_keeps_the_shares_of_the_classes(ours: Samples) -> None:
    train, held = split(ours, held_out=0.25)
    assert (len(train), len(held)) == (30, 10)
    assert np.bincount(held.classes).min() >= 2

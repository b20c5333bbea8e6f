"""Weights that moved: within few directions, by whole steps, onto few values; and what each costs."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from delta import decoder
from delta.corrections.palette import expected_indices
from delta.encoder import Effort, encode
from delta.encoder.ways.steps import find_step
from delta.predictors.low_rank import MAX_FACTORS, Change, Shape
from tests.delta.conftest import build

Weights = npt.NDArray[np.float32]

NUMBERS = np.random.default_rng(11)
LAYER: Weights = NUMBERS.normal(0, 0.1, (128, 160)).astype(np.float32)
_START = NUMBERS.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    NUMBERS.bit_generator.state = _START


def made(
    folder: Path, base: dict[str, npt.NDArray[np.generic]], new: dict[str, npt.NDArray[np.generic]]
) -> decoder.PatchInfo:
    """The patch between two models, proved by applying it."""
    (folder / "base").write_bytes(build(base))
    (folder / "new").write_bytes(build(new))
    encode(folder / "base", folder / "new", folder / "patch", effort=Effort.MAX)
    decoder.apply(folder / "base", folder / "patch", folder / "out")
    assert (folder / "out").read_bytes() == (folder / "new").read_bytes()
    return decoder.read_info(folder / "patch")


def moved(rank: int, size: float, noise: float) -> Weights:
    """The layer moved within `rank` directions and by a little noise, relative to that."""
    change = NUMBERS.normal(0, 1, (128, rank)) @ NUMBERS.normal(0, 1, (rank, 160)) / np.sqrt(rank)
    tuned: Weights = (LAYER + size * (change + NUMBERS.normal(0, noise, LAYER.shape))).astype(np.float32)
    return tuned


def test_a_change_within_few_directions_costs_its_noise(tmp_path: Path) -> None:
    within_few = made(tmp_path, {"w": LAYER}, {"w": moved(2, 0.01, noise=0.05)})
    in_all = made(tmp_path, {"w": LAYER}, {"w": moved(160, 0.01, noise=0.05)})
    assert within_few.spans.keys() >= {"low_rank+ordered"}
    # Twenty times less is left: log2(20) = 4.3 bits a weight, less the factors of two directions.
    assert within_few.patch_bytes < in_all.patch_bytes - 3.5 * LAYER.size / 8


def test_decayed_rows_are_predicted_by_gains(tmp_path: Path) -> None:
    decay = NUMBERS.uniform(0.9, 0.99, (128, 1))
    decayed = (LAYER * decay + NUMBERS.normal(0, 1e-5, LAYER.shape)).astype(np.float32)
    info = made(tmp_path, {"w": LAYER}, {"w": decayed})
    assert info.spans.keys() >= {"low_rank+ordered"}
    assert info.patch_bytes < 0.45 * LAYER.nbytes


def test_codes_move_within_few_directions_too(tmp_path: Path) -> None:
    old = NUMBERS.integers(-90, 90, (128, 160)).astype(np.int8)
    change = NUMBERS.normal(0, 4, (128, 2)) @ NUMBERS.normal(0, 1, (2, 160))
    new = np.clip(np.rint(old + change), -128, 127).astype(np.int8)
    info = made(tmp_path, {"c": old}, {"c": new})
    assert info.spans.keys() >= {"low_rank+add"}
    assert info.patch_bytes < 0.3 * new.nbytes


def test_sums_do_not_depend_on_the_order_of_components() -> None:
    """What makes a prediction exact on every processor: integers whose sums float64 holds."""
    rank = 64
    left = NUMBERS.integers(-(1 << 15), 1 << 15, (40, rank)).astype(np.float64)
    right = NUMBERS.integers(-(1 << 15), 1 << 15, (rank, 2, 25)).astype(np.float64)
    order = NUMBERS.permutation(rank)
    flat = {"gains": np.zeros(40), "row_scales": np.ones(40), "column_scales": np.ones((2, 25))}
    old = NUMBERS.normal(0, 1, 2 * 40 * 25).astype(np.float32)
    one = Change(Shape(2, 40, 25), 1e-11, left, right, **flat)
    other = Change(Shape(2, 40, 25), 1e-11, left[:, order], right[order], **flat)
    assert one.applied(old, 0).tobytes() == other.applied(old, 0).tobytes()


@pytest.mark.parametrize(("first", "count"), [(0, 2000), (1, 1999), (333, 1), (980, 60), (1000, 1000)])
def test_a_piece_of_a_change_is_that_piece_of_the_whole(first: int, count: int) -> None:
    shape = Shape(2, 40, 25)
    change = Change(
        shape,
        step=1e-3,
        left=NUMBERS.integers(-9, 9, (40, 3)).astype(np.float64),
        right=NUMBERS.integers(-9, 9, (3, 2, 25)).astype(np.float64),
        gains=NUMBERS.integers(-99, 99, 40).astype(np.float64),
        row_scales=np.exp2(NUMBERS.integers(-2, 2, 40)),
        column_scales=np.exp2(NUMBERS.integers(-2, 2, (2, 25))),
    )
    old = NUMBERS.normal(0, 1, shape.items).astype(np.float32)
    piece = change.applied(old[first : first + count], first)
    assert piece.tobytes() == change.applied(old, 0)[first : first + count].tobytes()


@pytest.mark.parametrize("step", [np.float32(np.float16(3e-3)), np.float32(1e-3), np.float32(0.1)])
def test_whole_steps_are_found_whatever_the_step(step: np.float32) -> None:
    codes = np.where(NUMBERS.random(LAYER.shape) < 0.05, NUMBERS.integers(-4, 5, LAYER.shape), 0)
    new = LAYER + step * codes.astype(np.float32)
    found = find_step(new.reshape(-1), LAYER.reshape(-1))
    assert found is not None
    again = LAYER.reshape(-1) + found[0] * found[1].astype(np.float32)
    assert again.tobytes() == new.tobytes()
    assert np.count_nonzero(found[1]) == np.count_nonzero(codes)


@pytest.mark.parametrize("few", [[5, -6, 8], [3, 2, -7, 11], [12, 13]])
def test_steps_are_found_where_no_change_is_a_single_one(few: list[int]) -> None:
    codes = np.zeros(LAYER.size, np.int16)
    codes[NUMBERS.choice(LAYER.size, len(few), replace=False)] = few
    new = LAYER.reshape(-1) + np.float32(np.float16(0.0107)) * codes.astype(np.float32)
    found = find_step(new, LAYER.reshape(-1))
    assert found is not None
    assert found[1].tolist() == codes.tolist()


def test_steps_from_a_vector_that_nothing_is_left_of_cost_their_codes(tmp_path: Path) -> None:
    old = np.ones(64, np.float32) + np.float32(1e-3) * NUMBERS.normal(size=64).astype(np.float32)
    codes = NUMBERS.integers(-3, 4, 64).astype(np.float32)
    info = made(tmp_path, {"gamma": old, "w": LAYER}, {"gamma": old + np.float32(0.5) * codes, "w": LAYER})
    assert "copy+steps" in info.spans
    assert "literal" not in info.spans


def test_a_sparse_update_costs_its_entropy(tmp_path: Path) -> None:
    codes = np.where(NUMBERS.random(LAYER.shape) < 0.03, NUMBERS.choice([-2, -1, 1, 2], LAYER.shape), 0)
    info = made(tmp_path, {"w": LAYER}, {"w": LAYER + np.float32(0.01) * codes.astype(np.float32)})
    counts = np.unique(codes, return_counts=True)[1]
    entropy_bits = -float((counts * np.log2(counts / counts.sum())).sum())
    assert info.spans.keys() >= {"copy+steps"}
    assert info.patch_bytes < 1.05 * entropy_bits / 8 + 600


def test_an_ordinary_fine_tune_has_no_step() -> None:
    assert find_step(moved(3, 0.01, 0.1).reshape(-1), LAYER.reshape(-1)) is None


def test_pruning_the_smallest_weights_costs_next_to_nothing(tmp_path: Path) -> None:
    pruned = np.where(np.abs(LAYER) < 0.07, np.float32(0), LAYER)
    info = made(tmp_path, {"w": LAYER}, {"w": pruned})
    assert info.patch_bytes < 0.02 * LAYER.nbytes


def test_weights_that_share_values_cost_their_indices(tmp_path: Path) -> None:
    palette = np.sort(NUMBERS.normal(0, 0.1, 16)).astype(np.float32)
    indices = np.abs(LAYER[..., None] - palette).argmin(-1)
    beside_its_base = made(tmp_path, {"w": LAYER}, {"w": palette[indices]})
    assert beside_its_base.spans.keys() >= {"copy+palette"}
    assert beside_its_base.patch_bytes < 0.02 * LAYER.nbytes
    shuffled = NUMBERS.permutation(palette[indices].reshape(-1)).reshape(LAYER.shape)
    by_itself = made(tmp_path, {"other": LAYER[:4, :4]}, {"w": shuffled})
    counts = np.bincount(indices.reshape(-1))
    entropy_bits = -float((counts[counts > 0] * np.log2(counts[counts > 0] / indices.size)).sum())
    assert by_itself.patch_bytes < 1.02 * entropy_bits / 8 + 500


def test_a_hint_of_many_values_is_no_palette(tmp_path: Path) -> None:
    info = made(tmp_path, {"w": LAYER[:8]}, {"w": LAYER})
    assert not any("palette" in method for method in info.spans)


def test_a_table_longer_than_factors_may_be_is_no_matrix(tmp_path: Path) -> None:
    rows = np.ones((MAX_FACTORS + 1, 2), np.float32)
    info = made(tmp_path, {"w": rows}, {"w": rows * np.float32(1.5)})
    assert not any("low_rank" in method for method in info.spans)


def test_more_palettes_than_a_stream_has_contexts_for(tmp_path: Path) -> None:
    values = np.sort(NUMBERS.normal(0, 1, (1100, 6)).astype(np.float32), axis=1)
    tensors = {f"t{number}": NUMBERS.choice(row, 200) for number, row in enumerate(values)}
    info = made(tmp_path, {"other": LAYER[:4, :4]}, tensors)
    assert info.patch_bytes < sum(tensor.nbytes for tensor in tensors.values()) / 4


def test_a_change_of_nothing_but_a_subnormal_has_no_step() -> None:
    old = np.ones(16, np.float32)
    old[7] = -9e-45
    new = old.copy()
    new[7] = -0.0
    assert find_step(new, old) is None


def test_the_nearest_entry_is_the_nearest_beyond_both_ends_too() -> None:
    palette = np.sort(NUMBERS.normal(0, 1, 9)).astype(np.float32)
    values = NUMBERS.normal(0, 3, 5000).astype(np.float32)
    found = expected_indices(values, palette)
    assert (found[values >= palette[-1]] == 8).all()
    assert (found[values <= palette[0]] == 0).all()
    between = (values > palette[0]) & (values < palette[-1])
    below = np.searchsorted(palette, values[between]) - 1
    assert ((found[between] == below) | (found[between] == below + 1)).all()

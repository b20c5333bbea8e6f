"""Thousands of damaged patches: each is refused with the codec's own error, or restores the right bytes; nothing is left."""

import random
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from delta import decoder
from delta.arrays import ITEM_TYPES, Items
from delta.coders import CODERS
from delta.decoder import Limits
from delta.encoder import encode
from delta.errors import DeltaError

LIMITS = Limits(output_bytes=1 << 20, wall_s=10)


def model(weights: Items, codes: Items, scale: Items, name: str) -> bytes:
    """A float weight that moves, codes, and the weight that the codes may come from."""
    tensors = [
        helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True),
        helper.make_tensor("v_quantized", TensorProto.INT8, codes.shape, codes.tobytes(), raw=True),
        helper.make_tensor("v_scale", TensorProto.FLOAT, scale.shape, scale.tobytes(), raw=True),
        helper.make_tensor("v", TensorProto.FLOAT, weights.shape, weights[::-1].tobytes(), raw=True),
    ]
    return bytes(helper.make_model(helper.make_graph([], name, [], [], tensors)).SerializeToString())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pair whose patch uses every predictor."""
    folder = tmp_path_factory.mktemp("pair")
    numbers = np.random.default_rng(2)
    weights = numbers.normal(0, 0.1, (40, 50)).astype(np.float32)
    scale = numbers.uniform(0.001, 0.002, 40).astype(np.float32)
    codes = np.clip(np.rint(weights[::-1] / scale[:, None]), -128, 127).astype(np.int8)
    moved = weights + np.float32(1e-5)
    (folder / "base").write_bytes(model(weights, numbers.integers(-9, 9, (40, 50), np.int8), scale[::-1], "base"))
    (folder / "new").write_bytes(model(moved, codes, scale, "a new name, longer"))
    report = encode(folder / "base", folder / "new", folder / "patch")
    assert set(report.spans) >= {"copy", "literal", "table", "copy+ordered", "quantise"}
    return folder


def damaged(patch: bytes, chance: random.Random) -> bytes:
    """One to four bytes changed, some inserted or removed, or the end cut."""
    mutant = bytearray(patch)
    kind = chance.random()
    if kind < 0.15:
        return bytes(mutant[: chance.randrange(len(mutant))])
    if kind < 0.25:
        at = chance.randrange(len(mutant))
        mutant[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        return bytes(mutant)
    reach = chance.choice((116, 400, len(mutant)))
    for _ in range(chance.randrange(1, 5)):
        mutant[chance.randrange(min(reach, len(mutant)))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return bytes(mutant)


def test_damaged_patches_are_refused_or_right(folder: Path, tmp_path: Path) -> None:
    patch, new = (folder / "patch").read_bytes(), (folder / "new").read_bytes()
    chance = random.Random(20)  # noqa: S311 - repeatable
    refused = 0
    for _ in range(4000):
        (tmp_path / "patch").write_bytes(damaged(patch, chance))
        try:
            decoder.apply(folder / "base", tmp_path / "patch", tmp_path / "out", limits=LIMITS)
        except DeltaError:
            refused += 1
        else:
            assert (tmp_path / "out").read_bytes() == new
            (tmp_path / "out").unlink()
        assert [path.name for path in tmp_path.iterdir()] == ["patch"]
    assert refused > 3500


def test_damaged_blocks_are_refused_or_harmless() -> None:
    """Every coder and item type: a wrong block gives items of the declared number and type, or the codec's error."""
    chance = random.Random(21)  # noqa: S311 - repeatable
    numbers = np.random.default_rng(4)
    blocks = []
    for item in ITEM_TYPES:
        items = (numbers.normal(size=500) * 20).astype(item)
        for coder in CODERS.values():
            coded = coder.encode(items, level=8)
            blocks += [] if coded is None else [(coder, item, coded)]
    for _ in range(6000):
        coder, item, coded = chance.choice(blocks)
        count = chance.choice((500, 500, 1, 499, 501, 1 << 17))
        try:
            items = coder.decode(damaged(coded, chance), item, count)
        except DeltaError:
            continue
        assert (items.dtype, items.size) == (item, count)

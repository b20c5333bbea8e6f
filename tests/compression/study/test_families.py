"""Families: every member runs at its shape, exports without normalisation, and has the sizes that its metaparameters promise."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from compression.errors import RecipeInvalid
from compression.onnx_export import export_onnx
from compression.study.families import FAMILIES, ConvnetFamily, Family, MobileNetFamily, SqueezeNetFamily, ZooFamily
from compression.study.nets import SMALLEST_TO_HALVE
from compression.zoo.entry import NetShape

SHAPE = NetShape(2, 12, 9, 5)


@pytest.mark.parametrize(
    "family",
    [
        SqueezeNetFamily(fires=3, base_e=4, incr_e=3, freq=1, squeeze_ratio=0.5),
        SqueezeNetFamily(fires=1, base_e=1, pct_3x3=1.0, stem_channels=1, width=0.01),
        MobileNetFamily(layers=3, base_channels=4, per_stage=1, width=0.5),
        ConvnetFamily(first=3, second=0, third=2, per_stage=2, kernel=5),
    ],
)
def test_member_runs_and_exports_with_its_normalisation_folded(family: Family, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = family.build(SHAPE).eval()
    images = np.random.default_rng(0).random((3, 2, 12, 9), dtype=np.float32)
    assert net(torch.from_numpy(images)).shape == (3, 5)
    export_onnx(net, tmp_path / "net.onnx", example=images, input_name="image", output_name="logits")
    operators = {node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node}
    assert "BatchNormalization" not in operators


def test_squeezenet_has_the_filters_of_its_metaparameters() -> None:
    net = SqueezeNetFamily(fires=3, stem_channels=6, base_e=8, incr_e=4, freq=2, squeeze_ratio=0.25, pct_3x3=0.75)
    weights = [tuple(w.shape) for w in net.build(SHAPE).parameters() if w.ndim == 4]
    stem, *fires, classifier = weights
    assert (stem, classifier) == ((6, 2, 3, 3), (5, 12, 1, 1))
    assert fires == [
        *((2, 6, 1, 1), (2, 2, 1, 1), (6, 2, 3, 3)),
        *((2, 8, 1, 1), (2, 2, 1, 1), (6, 2, 3, 3)),
        *((3, 8, 1, 1), (3, 3, 1, 1), (9, 3, 3, 3)),
    ]


def test_map_is_halved_only_while_there_is_something_to_halve() -> None:
    deep = SqueezeNetFamily(fires=6, base_e=4, incr_e=0, freq=1)
    pools = [m for m in deep.build(NetShape(1, 14, 14, 10)).modules() if isinstance(m, torch.nn.MaxPool2d)]
    assert len(pools) == 2
    assert SMALLEST_TO_HALVE > 14 // 2 // 2


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("convnet", {"kernel": 4}, "kernel: expected an odd number, got 4"),
        ("zoo", {"net": "alexnett"}, "net: no such net 'alexnett', did you mean 'alexnet'"),
    ],
)
def test_member_that_cannot_be_is_refused_with_its_key(family: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        FAMILIES[family](**options)


def test_zoo_net_of_several_outputs_is_no_classifier() -> None:
    from compression.zoo import ZOO

    several = [name for name, entry in ZOO.items() if len(entry.outputs) > 1]
    assert several
    for name in several:
        with pytest.raises(RecipeInvalid, match="a classifier has one"):
            ZooFamily(net=name)
    assert ZooFamily(net="squeezenet-1.1").build(NetShape(3, 64, 64, 7))(torch.rand(2, 3, 64, 64)).shape == (2, 7)

"""The small nets have the weights and multiplications that are published or follow by hand, and what may be varied about them varies."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.static_cost import count_static_cost
from compression.squeezenet import Metaparameters, SqueezeNet
from compression.zoo import ZOO, NetShape
from compression.zoo.export import export_entry, write_for_counting
from compression.zoo.nets.characters import nine_layers
from compression.zoo.nets.enet import enet
from compression.zoo.nets.mobilenet import mobilenet
from compression.zoo.nets.segnet import SegNet
from compression.zoo.nets.shufflenet import shufflenet
from compression.zoo.nets.squeezedet import SqueezeDet, detections
from compression.zoo.nets.squeezenet import squeezenet, squeezenet_features
from compression.zoo.nets.transformer import transformer

IMAGENET = NetShape()
DIGITS = NetShape(channels=1, height=8, width=8, classes=10)


def weights(name: str) -> int:
    """Trained weights, without running statistics."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in ZOO[name].build(ZOO[name].shape).parameters())


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("squeezenet-1.0", 1_248_424),
        ("squeezenet-1.1", 1_235_496),
        ("mobilenet-1.0", 4_231_976),
        ("mobilenet-0.75", 2_585_560),
        ("style-transformer", 1_679_235),
        ("style-features", 1_235_496 - 513_000),
    ],
)
def test_net_has_the_published_number_of_weights(name: str, published: int) -> None:
    assert weights(name) == published


def test_squeezedet_has_the_weights_of_squeezenets_features_and_three_layers_more() -> None:
    fire10 = (512 * 96 + 96) + (96 * 384 + 384) + (96 * 384 * 9 + 384)
    fire11 = (768 * 96 + 96) + (96 * 384 + 384) + (96 * 384 * 9 + 384)
    convdet = 768 * 72 * 9 + 72
    assert weights("squeezedet") == weights("style-features") + fire10 + fire11 + convdet == 2_082_120


def test_segnet_has_the_weights_of_vgg16s_convolutions_twice() -> None:
    encoder = 14_714_688  # Simonyan and Zisserman, table 1, column D, without its dense layers
    outputs = 64 * 2 + 128 * 2 + 256 * 3 + 512 * 6
    mirrored = 64 * 2 + 128 * 2 + 256 * 3 + 512 * 5
    # The decoder's layers have the encoder's inputs and outputs, swapped, so only the two ends and the biases differ.
    decoder = (encoder - outputs) - 64 * 3 * 9 + 64 * 11 * 9 + mirrored + 11
    assert weights("segnet") == encoder + decoder + 2 * outputs + 2 * mirrored


def test_enet_has_the_papers_037_million_weights() -> None:
    assert weights("enet") == pytest.approx(370_000, rel=0.03)


def test_character_net_has_the_weights_of_its_nine_layers() -> None:
    widths = (1, 96, 128, 160, 256, 256, 384, 384)
    convolutions = sum(i * o * 9 + o for i, o in pairwise(widths))
    norms_and_slopes = 3 * sum(widths[1:])
    dense = 384 * 9 * 1024 + 1024 + 1024 + 1024 * 3755 + 3755
    assert weights("hccr-nine-layers") == convolutions + norms_and_slopes + dense
    assert weights("hccr-direct-map") * 4 / 2**20 == pytest.approx(23.5, abs=0.01)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("squeezenet-1.0", 861e6),  # 1.72 and 0.72 GFLOP in the authors' repository, 2.4 times less
        ("squeezenet-1.1", 360e6),
        ("mobilenet-1.0", 569e6),  # Howard et al., table 8
        ("mobilenet-0.75", 325e6),  # table 6
        ("shufflenet-1.5", 292e6),  # Zhang et al., table 5
        ("shufflenet-2.0", 524e6),
    ],
)
def test_net_multiplies_as_often_as_is_published(name: str, published: float, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    write_for_counting(ZOO[name], path)
    cost = count_static_cost(path)
    assert cost.macs_total == pytest.approx(published, rel=0.04)
    assert cost.ops_uncounted == {}


# -------------------------------------------------------------------------------------------------- metaparameters


def test_metaparameters_give_the_fire_modules_of_table_1() -> None:
    assert Metaparameters().modules() == (
        *[(16, 64, 64)] * 2,
        *[(32, 128, 128)] * 2,
        *[(48, 192, 192)] * 2,
        *[(64, 256, 256)] * 2,
    )


@given(
    share=st.floats(0, 1),
    ratio=st.floats(0.05, 1),
    width=st.floats(0.05, 2),
    fires=st.integers(1, 10),
    freq=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_any_metaparameters_make_a_net_that_runs(
    share: float, ratio: float, width: float, fires: int, freq: int
) -> None:
    chosen = Metaparameters(base_e=24, incr_e=8, freq=freq, pct_3x3=share, squeeze_ratio=ratio, fires=fires)
    for squeeze, one, three in chosen.modules(width=width):
        assert squeeze >= 1
        assert one + three == max(1, one + three)
        assert abs(three - share * (one + three)) <= 0.5
    net = squeezenet(DIGITS, width=width, metaparameters=chosen, norm=True).eval()
    with torch.no_grad():
        assert net(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("wrong", [{"pct_3x3": 1.1}, {"squeeze_ratio": 0.0}, {"freq": 0}, {"fires": 0}, {"incr_e": -1}])
def test_impossible_metaparameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Metaparameters(**wrong)  # type: ignore[arg-type]  # one of them at a time


def test_share_of_3x3_filters_alone_changes_the_weights_as_it_should() -> None:
    with torch.device("meta"):
        sizes = [
            sum(
                weight.numel()
                for weight in squeezenet(IMAGENET, metaparameters=Metaparameters(pct_3x3=share)).parameters()
            )
            for share in (0.0, 0.5, 1.0)
        ]
    # Each filter that is 3x3 has eight weights more for each squeezed channel: linear in the share.
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] > 0


def test_squeezenet_scaled_to_the_classes_of_mnist_still_has_12_million_weights() -> None:
    with torch.device("meta"):
        net = squeezenet(NetShape(1, 28, 28, 10), width=1.29)
    assert sum(weight.numel() for weight in net.parameters()) == pytest.approx(1_200_000, rel=0.02)


def test_normalised_squeezenet_folds_to_the_same_function_without_normalisation() -> None:
    net = squeezenet(DIGITS, width=0.25, norm=True)
    images = torch.rand(8, 1, 8, 8)
    net.train()(images)
    net.eval()
    with torch.no_grad():
        before = net(images)
        net.fold_normalisation()
        torch.testing.assert_close(net(images), before, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def test_small_images_keep_their_size_through_the_first_layer() -> None:
    net = squeezenet(DIGITS)
    assert isinstance(net, SqueezeNet)
    with torch.no_grad():
        assert net.features[0](torch.rand(1, 1, 8, 8)).shape[-2:] == (8, 8)
        assert net.features(torch.rand(1, 1, 8, 8)).shape[-2:] == (2, 2)


def test_features_are_what_the_fire_modules_see() -> None:
    shape = NetShape(height=64, width=64)
    features = squeezenet_features(shape, fires=(3, 0))
    with torch.no_grad():
        later, sooner = features.eval()(torch.rand(1, 3, 64, 64))
    assert later.shape == (1, 256, 7, 7)
    assert sooner.shape == (1, 128, 15, 15)
    assert len(features.layers) == 7
    with pytest.raises(ValueError, match="fire modules 0 to 7, not all of"):
        squeezenet_features(shape, fires=(8,))


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: squeezenet(DIGITS, version="2"), "versions 1.0, 1.1, not '2'"),
        (lambda: squeezenet(DIGITS, width=0), "above 0, not 0"),
        (lambda: shufflenet(DIGITS, groups=5), "groups, not 5"),
        (lambda: shufflenet(DIGITS, width=0.33), "which 3 groups do not divide"),
        (lambda: enet(NetShape(height=36, width=40)), "multiples of 8"),
        (lambda: transformer(NetShape(height=34, width=40)), "multiples of 4"),
    ],
)
def test_net_that_cannot_be_is_refused(build: object, complaint: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=complaint):
        build()


# ------------------------------------------------------------------------------------------------ the other families


def test_width_multiplier_scales_weights_by_nearly_its_square() -> None:
    with torch.device("meta"):
        full, half = (
            sum(w.numel() for w in mobilenet(NetShape(classes=1), width=width).parameters()) for width in (1.0, 0.5)
        )
    assert half / full == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_shufflenet_of_any_groups_gives_logits(groups: int) -> None:
    net = shufflenet(DIGITS, groups=groups).eval()
    with torch.no_grad():
        assert net(torch.rand(1, 1, 32, 32)).shape == (1, 10)


def test_low_rank_expansion_has_a_quarter_of_the_convolutions_weights() -> None:
    shape = NetShape(1, 32, 32, 10)

    def inner(net: nn.Module) -> int:
        layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        return sum(layer.weight.numel() for layer in layers if layer.in_channels > 1)

    assert inner(nine_layers(shape, speedup=4)) / inner(nine_layers(shape)) == pytest.approx(0.25, rel=0.01)


def test_narrow_segnet_equals_torch_at_odd_sizes(tmp_path: Path) -> None:
    entry = ZOO["segnet"]
    path = tmp_path / "net.onnx"
    # 45 and 23 rows on the way down are odd, as they are for the 360 rows of the paper.
    shape = NetShape(height=45, width=30, classes=4)
    narrow = type(entry)(
        **{
            **{name: getattr(entry, name) for name in entry.__dataclass_fields__},
            "build": lambda shape: SegNet(shape, width=1 / 8),
        }
    )
    export_entry(narrow, path, shape=shape)
    assert count_static_cost(path).outputs[0].shape == ("N", 4, 45, 30)


def test_detections_are_anchors_moved_and_scaled_by_the_deltas() -> None:
    classes, anchors = 2, torch.tensor([[20.0, 10.0], [8.0, 30.0]])
    raw = torch.zeros(1, 2 * (classes + 5), 2, 3)
    raw[0, 1] = 3.0  # class 1 of anchor 0, everywhere
    raw[0, 2 * classes + 1] = -50.0  # anchor 1 sees nothing
    deltas = raw[0, 2 * classes + 2 :].view(2, 4, 2, 3)
    deltas[0, :, 1, 2] = torch.tensor([0.5, -1.0, 0.0, 2.0])
    boxes, scores = detections(raw, anchors, classes=classes)
    assert boxes.shape == (1, 12, 4)
    assert scores.shape == (1, 12, 2)
    first = boxes[0, :6].view(2, 3, 4)
    torch.testing.assert_close(first[0, 0], torch.tensor([8.0, 8.0, 20.0, 10.0]))
    # x: 40 + 20 / 2; y: 24 - 10; height: beyond exp(1) the growth is linear, e * (2 - 1 + 1).
    torch.testing.assert_close(first[1, 2], torch.tensor([50.0, 14.0, 20.0, 10 * 2 * torch.e]))
    torch.testing.assert_close(scores[0, :6].sum(dim=1), torch.full((6,), 0.5))
    assert (scores[0, :6, 1] > 0.47).all()
    assert scores[0, 6:].max() < 1e-6


def test_squeezedets_map_has_a_place_every_sixteen_pixels() -> None:
    net = SqueezeDet(NetShape(height=48, width=80, classes=2), anchors=3).eval()
    with torch.no_grad():
        assert net(torch.rand(1, 3, 48, 80)).shape == (1, 3 * 7, 3, 5)

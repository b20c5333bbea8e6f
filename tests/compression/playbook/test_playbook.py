"""Every move does to parameters and MACs what its formula says, and those that promise the same function keep it."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression.errors import ModelUnusable
from compression.playbook import (
    ChannelShuffle,
    averaged_classifier,
    before_and_after,
    binarise,
    cost_of,
    depthwise_separable,
    evenly_spaced,
    fully_convolutional,
    group_convolutions,
    linear_to_convolution,
    reduce_channels,
    reduce_kernels,
    settle,
    shuffle_groups,
    space_downsampling,
    squeeze_before,
)
from compression.playbook.binary import binary_weights

IMAGE = (3, 8, 8)
SIDES = st.integers(1, 5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(2017)


def plain() -> nn.Sequential:
    """Three convolutions, two halvings, two fully connected layers; like AlexNet, most of its weights are in the latter."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.ReLU()),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 24),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(24, 10),
    ).eval()


def lived_in(net: nn.Module) -> nn.Module:
    """The net with running statistics that are no longer 0 and 1."""
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(16, *IMAGE) * 2 + 1)
    return net.eval()


def without_dense_norm(net: nn.Module) -> nn.Sequential:
    """The net without the one normalisation that the exporter does not fold, so that counts are those of the formulas."""
    return nn.Sequential(*(layer for layer in net.children() if not isinstance(layer, nn.BatchNorm1d)))


def answers(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = net.eval()(images)
    return found


# ------------------------------------------------------------------------------------- fully connected to convolution


@given(channels=SIDES, height=SIDES, width=SIDES, outputs=SIDES, bias=st.booleans())
@settings(max_examples=25, deadline=None)
def test_linear_layer_as_convolution_computes_the_same(
    channels: int, height: int, width: int, outputs: int, *, bias: bool
) -> None:
    linear = nn.Linear(channels * height * width, outputs, bias=bias)
    conv = linear_to_convolution(linear, channels=channels, height=height, width=width)
    maps = torch.randn(2, channels, height, width)
    torch.testing.assert_close(answers(conv, maps).flatten(1), answers(linear, maps.flatten(1)))


def test_fully_convolutional_net_is_the_same_function_at_the_same_price() -> None:
    net = lived_in(plain())
    images = torch.randn(4, *IMAGE)
    torch.testing.assert_close(answers(fully_convolutional(net, IMAGE), images), answers(net, images))
    net = without_dense_norm(net)
    moved = fully_convolutional(net, IMAGE)
    bought = before_and_after(net, moved, IMAGE)
    assert bought.after.macs == bought.before.macs
    assert bought.after.param_count == bought.before.param_count
    assert not any(isinstance(module, nn.Linear) for module in moved.modules())


def test_fully_convolutional_net_takes_larger_images() -> None:
    net = fully_convolutional(plain(), IMAGE)
    assert answers(net, torch.randn(1, 3, 16, 24)).shape == (1, 10)


def test_averaged_classifier_has_the_parameters_of_its_formula() -> None:
    net = without_dense_norm(plain())
    bought = before_and_after(net, averaged_classifier(net, IMAGE), IMAGE)
    assert bought.before.macs - bought.after.macs == 64 * 24 + 24 * 10 - 16 * 10 * 2 * 2
    assert bought.before.param_count - bought.after.param_count == (64 * 24 + 24 + 24 * 10 + 10) - (16 * 10 + 10)


def test_linear_layer_of_another_map_is_refused() -> None:
    with pytest.raises(ModelUnusable, match="has 10 inputs, a map of 3 x 2 x 2 has 12 values"):
        linear_to_convolution(nn.Linear(10, 2), channels=3, height=2, width=2)


def test_layer_that_works_on_vectors_only_is_named() -> None:
    net = nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 2))
    with pytest.raises(ModelUnusable, match=r"layer 1 \(LayerNorm\)"):
        fully_convolutional(net, IMAGE)


# ------------------------------------------------------------------------------------------------- smaller filters


@given(inputs=SIDES, outputs=st.integers(1, 9), share=st.floats(0, 1), stride=st.sampled_from([1, 2]))
@settings(max_examples=25, deadline=None)
def test_kernel_reduction_counts_as_its_formula(inputs: int, outputs: int, share: float, stride: int) -> None:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride)
    moved = reduce_kernels(conv, share)
    stay = round(share * outputs)
    weights = sum(weight.numel() for weight in moved.parameters())
    assert weights == inputs * (stay * 9 + outputs - stay) + outputs
    maps = torch.randn(1, inputs, 7, 6)
    assert answers(moved, maps).shape == answers(conv, maps).shape
    # The filters that stay are the last ones and compute what they did.
    torch.testing.assert_close(answers(moved, maps)[:, outputs - stay :], answers(conv, maps)[:, outputs - stay :])


def test_kernel_reduction_to_half_costs_five_ninths_of_the_macs() -> None:
    net = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1))
    bought = before_and_after(net, reduce_kernels(net, 0.5), (8, 6, 6))
    assert bought.before.macs == 8 * 16 * 9 * 36
    assert bought.after.macs * 9 == bought.before.macs * 5
    assert bought.after.param_count == 8 * 16 * 5 + 16


def test_kernel_reduction_of_an_unpadded_layer_names_it() -> None:
    with pytest.raises(ModelUnusable, match=r"layer 1 has kernel \(3, 3\) and padding \(0, 0\)"):
        reduce_kernels(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), 0.5)


# ------------------------------------------------------------------------------------------------------- channels


def test_channel_reduction_counts_as_its_formula() -> None:
    net = plain()
    bought = before_and_after(net, reduce_channels(net, 0.5), IMAGE)
    places = (64, 4, 4)
    before = zip(places, (3 * 8, 8 * 16, 16 * 16), strict=True)
    after = zip(places, (3 * 4, 4 * 8, 8 * 8), strict=True)
    assert bought.before.macs == sum(at * pairs * 9 for at, pairs in before) + 64 * 24 + 24 * 10
    assert bought.after.macs == sum(at * pairs * 9 for at, pairs in after) + 32 * 12 + 12 * 10


def test_reduced_channels_are_those_of_smallest_norm_and_nothing_else_changes() -> None:
    net = lived_in(plain())
    with torch.no_grad():  # half of the channels carry nothing, so leaving them out changes nothing
        for name in ("0", "4.0", "5", "8"):
            layer = net.get_submodule(name)
            assert isinstance(layer, (nn.Conv2d, nn.Linear))
            assert layer.bias is not None
            layer.weight[::2] = 0
            layer.bias[::2] = 0
        for name in ("1", "9"):
            norm = net.get_submodule(name)
            assert isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
            assert norm.running_mean is not None
            norm.running_mean[::2] = 0
    images = torch.randn(4, *IMAGE)
    moved = reduce_channels(net, 0.5)
    torch.testing.assert_close(answers(moved, images), answers(net, images))


def test_depthwise_layers_keep_the_channels_of_what_they_read() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    moved = reduce_channels(net, 0.5)
    assert [tuple(weight.shape) for name, weight in moved.named_parameters() if "weight" in name] == [
        (4, 3, 1, 1),
        (4, 1, 3, 3),
        (4, 4, 1, 1),
    ]
    assert answers(moved, torch.randn(2, *IMAGE)).shape == (2, 4, 8, 8)


def test_channel_reduction_of_grouped_layers_names_the_layer() -> None:
    net = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1, groups=2))
    with pytest.raises(ModelUnusable, match="layer 1 has 2 groups"):
        reduce_channels(net, 0.5)


def test_squeeze_counts_as_its_formula() -> None:
    net = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1))
    bought = before_and_after(net, squeeze_before(net, 1 / 8), (16, 5, 5))
    assert bought.after.macs == (16 * 2 + 2 * 16 * 9) * 25
    assert bought.after.param_count == 16 * 2 + 2 * 16 * 9 + 2 + 16
    assert bought.after.macs / bought.before.macs == pytest.approx(0.139, abs=0.001)


# --------------------------------------------------------------------------------------------------- downsampling


@given(layers=st.integers(1, 60), halvings=st.integers(1, 6))
def test_halvings_are_evenly_spaced(layers: int, halvings: int) -> None:
    places = (0, *evenly_spaced(layers, halvings), layers)
    stretches = [later - sooner for sooner, later in itertools.pairwise(places)]
    assert all(stretch >= 0 for stretch in stretches)
    if layers > halvings:
        assert max(stretches) - min(stretches) <= 1


def test_spaced_downsampling_keeps_parameters_and_sizes_and_counts_as_its_formula() -> None:
    early = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(5)),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    moved = space_downsampling(early)
    bought = before_and_after(early, moved, IMAGE)
    assert bought.after.param_count == bought.before.param_count
    assert bought.before.macs == 27 * 8 * 16 + 5 * (9 * 64 * 4) + 32 * 4
    # Six layers, halved behind the second and the fourth.
    assert bought.after.macs == (27 * 8 + 9 * 64) * 64 + 2 * 9 * 64 * 16 + 2 * 9 * 64 * 4 + 32 * 4


@pytest.mark.parametrize(
    ("net", "complaint"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=3)), "layer 0 has stride"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2)), "layer 0 shrinks the map"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), "halves its map"),
        (nn.ModuleList([nn.ReLU()]), "is no nn.Sequential"),
    ],
)
def test_net_whose_halvings_cannot_be_moved_is_refused(net: nn.Module, complaint: str) -> None:
    with pytest.raises(ModelUnusable, match=complaint):
        space_downsampling(net)


# --------------------------------------------------------------------------------------- groups, depthwise, shuffle


@given(groups=st.sampled_from([2, 3, 4]), inputs=st.integers(1, 3), outputs=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_group_convolution_has_a_share_of_the_weights_and_keeps_those_within(
    groups: int, inputs: int, outputs: int
) -> None:
    conv = nn.Conv2d(groups * inputs, groups * outputs, 3, padding=1)
    moved = group_convolutions(conv, groups)
    assert isinstance(moved, nn.Conv2d)
    assert moved.weight.numel() * groups == conv.weight.numel()
    with torch.no_grad():  # the dense layer with zeros between the groups is the grouped one
        for group in range(groups):
            others = [channel for channel in range(groups * inputs) if channel // inputs != group]
            conv.weight[group * outputs : (group + 1) * outputs, others] = 0
    maps = torch.randn(1, groups * inputs, 4, 4)
    torch.testing.assert_close(answers(moved, maps), answers(conv, maps))


def test_groups_leave_a_layer_alone_whose_channels_are_no_multiple() -> None:
    moved = group_convolutions(plain(), 4)
    assert [module.groups for module in moved.modules() if isinstance(module, nn.Conv2d)] == [1, 4, 4]


def test_depthwise_separable_layers_count_as_their_formula() -> None:
    net = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1))
    bought = before_and_after(net, depthwise_separable(net), (8, 6, 6))
    assert bought.after.macs == (8 * 9 + 8 * 16) * 36
    assert bought.after.macs / bought.before.macs == pytest.approx(1 / 16 + 1 / 9)
    assert bought.after.param_count == 8 * 9 + 8 * 16 + 16


def test_layer_that_was_separable_computes_the_same_when_separated() -> None:
    conv = nn.Conv2d(6, 10, 3, padding=1, stride=2)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(10, 6, 1, 1) * torch.randn(1, 6, 3, 3))
    maps = torch.randn(2, 6, 9, 9)
    torch.testing.assert_close(answers(depthwise_separable(conv), maps), answers(conv, maps), atol=1e-5, rtol=1e-4)


def test_separated_layer_is_nearer_than_one_with_any_single_filter() -> None:
    conv = nn.Conv2d(4, 8, 3, padding=1, bias=False)
    moved = depthwise_separable(conv)
    assert isinstance(moved, nn.Sequential)
    spatial, mixing = (layer.weight.detach() for layer in moved if isinstance(layer, nn.Conv2d))
    error = (conv.weight.detach() - mixing * spatial.transpose(0, 1)).square().sum()
    centre = torch.zeros_like(conv.weight)
    centre[:, :, 1, 1] = conv.weight.detach()[:, :, 1, 1]
    assert error < (conv.weight.detach() - centre).square().sum()


def test_shuffle_deals_channels_of_every_group_to_every_group() -> None:
    maps = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert ChannelShuffle(3)(maps).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    again = ChannelShuffle(2)(ChannelShuffle(3)(maps))
    assert torch.equal(again, maps)


def test_shuffle_behind_group_convolutions_costs_no_mac_and_lets_every_output_see_every_input() -> None:
    grouped = nn.Sequential(nn.Conv2d(8, 8, 1, groups=4), nn.Conv2d(8, 8, 1, groups=4))
    moved = shuffle_groups(grouped)
    bought = before_and_after(grouped, moved, (8, 3, 3))
    assert bought.after.macs == bought.before.macs
    weights = sum(weight.numel() for weight in moved.parameters())
    assert weights == sum(weight.numel() for weight in grouped.parameters())
    image = torch.randn(1, 8, 1, 1, requires_grad=True)

    def inputs_seen(net: nn.Module) -> int:
        (slope,) = torch.autograd.grad(net(image)[0, 0, 0, 0], image)
        return int((slope != 0).sum())

    assert (inputs_seen(grouped), inputs_seen(moved)) == (2, 4)


# --------------------------------------------------------------------------------------------------------- binary


@given(filters=st.integers(1, 6), inputs=st.integers(1, 6), scale=st.floats(0.01, 10))
@settings(max_examples=25, deadline=None)
def test_binary_weights_are_the_nearest_with_one_magnitude_per_filter(filters: int, inputs: int, scale: float) -> None:
    weight = torch.randn(filters, inputs, 3, 3)
    binary = binary_weights(weight)
    assert all(len(torch.unique(row.abs())) == 1 for row in binary.flatten(1))
    error = (weight - binary).square().sum()
    other = torch.where(weight < 0, -1.0, 1.0) * scale
    assert error <= (weight - other).square().sum() + 1e-4


def test_binary_sign_lets_gradients_through_where_the_weight_is_small() -> None:
    weight = torch.tensor([[0.5, -0.5, 2.0, 0.0]], requires_grad=True)
    magnitude = weight.detach().abs().mean()
    (slope,) = torch.autograd.grad(binary_weights(weight)[0, 0], weight)
    # Through the sign where |w| <= 1, and through the mean of magnitudes.
    torch.testing.assert_close(slope, torch.tensor([[magnitude + 0.25, -0.25, 0.25, 0.0]]))


def test_binarised_net_trains_and_settles_to_the_same_function() -> None:
    net = binarise(plain()).train()
    images, labels = torch.randn(32, *IMAGE), torch.arange(32) % 10
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    settled = settle(net)
    torch.testing.assert_close(answers(settled, images), answers(net, images))
    values = [
        len(torch.unique(module.weight)) for module in settled.modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    assert values[0] == 3 * 8 * 9  # the first and last layers are untouched
    assert all(count <= 2 * filters for count, filters in zip(values[1:-1], (16, 16, 24), strict=True))


def test_settled_net_packs_to_at_most_one_and_a_half_bits_a_weight() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 4, 1))
    cost = cost_of(settle(binarise(net)), (3, 4, 4), packed=True)
    assert cost.packed_bytes is not None
    float_bytes = 4 * (3 * 64 + 64 * 4 + 64 + 64 + 4)
    assert cost.packed_bytes < 64 * 64 * 9 * 1.5 / 8 + 4 * 64 + float_bytes + 1000


# ------------------------------------------------------------------------------------------------------ in general

MOVES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "fully convolutional": lambda net: fully_convolutional(net, IMAGE),
    "averaged classifier": lambda net: averaged_classifier(net, IMAGE),
    "kernels": lambda net: reduce_kernels(net, 0.5),
    "channels": lambda net: reduce_channels(net, 0.5),
    "squeeze": lambda net: squeeze_before(net, 0.25),
    "downsampling": space_downsampling,
    "groups": lambda net: group_convolutions(net, 4),
    "groups and shuffle": lambda net: shuffle_groups(group_convolutions(net, 4)),
    "depthwise separable": depthwise_separable,
    "binary": lambda net: settle(binarise(net)),
    "several": lambda net: reduce_kernels(reduce_channels(averaged_classifier(net, IMAGE), 0.75), 0.5),
}


@pytest.mark.parametrize("name", MOVES)
def test_move_leaves_the_net_it_was_given_as_it_was_and_exports(name: str) -> None:
    net = plain()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    moved = MOVES[name](net)
    assert cost_of(moved, IMAGE).macs > 0
    after = net.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not {id(weight) for weight in net.parameters()} & {id(weight) for weight in moved.parameters()}


@pytest.mark.parametrize(
    "move", [reduce_channels, reduce_kernels, lambda net, share: squeeze_before(net, 1 + share)], ids=["c", "k", "s"]
)
def test_share_out_of_range_is_refused(move: Callable[[nn.Module, float], nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"not [12]\.5"):
        move(plain(), 1.5)


@pytest.mark.parametrize(
    "move",
    [shuffle_groups, settle, lambda net: group_convolutions(net, 7), depthwise_separable],
    ids=["shuffle", "settle", "groups", "separable"],
)
def test_move_with_nothing_to_change_says_so(move: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ModelUnusable, match="no layer of Sequential can be changed so"):
        move(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))


def test_module_that_is_used_twice_stays_one_module() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    moved = depthwise_separable(nn.Sequential(shared, nn.ReLU(), shared))
    assert isinstance(moved, nn.Sequential)
    assert moved[0] is moved[2]

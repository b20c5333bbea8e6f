"""How pairs are made: rewritten nets compute the same, compressed ones have what is said of them, recipes cover the classes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from benchmarks.peers.corpus import RECIPES, assemble
from benchmarks.peers.corpus.compressed import both, clustered, pruned
from benchmarks.peers.corpus.quantised import to_bfloat16, to_fp16
from benchmarks.peers.corpus.rewritten import (
    Rewrite,
    as_matmul,
    channels_last,
    constants,
    merged,
    opset,
    optimised,
    renamed,
    reordered,
    safetensors,
    transposed,
    typed_fields,
)
from benchmarks.peers.corpus.sparse import sparse_codes
from benchmarks.peers.pairs import PairClass
from compression.datasets.mnist import mnist_halved

REWRITES: dict[str, Rewrite] = {
    "as_matmul": as_matmul,
    "channels_last": channels_last,
    "constants": constants,
    "merged": merged,
    "opset": opset(21),
    "optimised": optimised("ALL"),
    "renamed": renamed,
    "reordered": reordered,
    "transposed": transposed,
    "typed_fields": typed_fields,
}


def answers(model: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    images = np.random.default_rng(9).standard_normal((5, 3, 4, 4), dtype=np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": images})[0])


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=list(REWRITES))
def test_a_rewritten_net_is_another_file_that_computes_the_same(rewrite: Rewrite, net: ModelProto) -> None:
    before = net.SerializeToString()
    after = rewrite(onnx.load_from_string(before)).SerializeToString()
    assert after != before
    np.testing.assert_allclose(answers(after), answers(before), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("convert", [to_fp16, to_bfloat16])
def test_a_converted_net_computes_nearly_the_same(convert: Callable[[bytes], bytes], net: ModelProto) -> None:
    before = net.SerializeToString()
    after = convert(before)
    assert len(after) < 0.6 * len(before)
    exact = answers(before)
    # Eight bits of mantissa, sums of 128 products.
    assert np.abs(answers(after) - exact).max() < 0.01 * np.abs(exact).max()


def test_bfloat16_rounds_to_nearest_even(net: ModelProto) -> None:
    def bias_of(model: bytes) -> TensorProto:
        found: TensorProto
        (found,) = [t for t in onnx.load_from_string(model).graph.initializer if t.name.startswith("bias")]
        return found

    values = np.zeros(40, np.float32)
    # The pattern halfway between two bfloat16s, below and above an odd last bit, and just past halfway.
    values.view(np.uint32)[:3] = (0x3F808000, 0x3F818000, 0x3F808001)
    bias = next(tensor for tensor in net.graph.initializer if tensor.name == "bias")
    bias.raw_data = values.tobytes()
    rounded = np.frombuffer(bias_of(to_bfloat16(net.SerializeToString())).raw_data, "<u2")
    assert rounded[:3].tolist() == [0x3F80, 0x3F82, 0x3F81]


def test_pruning_zeroes_the_smallest_weights() -> None:
    weights = np.random.default_rng(1).standard_normal((50, 40), dtype=np.float32)
    after = pruned(0.8)(weights)
    assert (after == 0).mean() == pytest.approx(0.8, abs=0.001)
    assert np.abs(weights[after == 0]).max() < np.abs(after[after != 0]).min()
    np.testing.assert_array_equal(after[after != 0], weights[after != 0])


def test_clustering_leaves_the_shared_values_and_zero() -> None:
    weights = np.random.default_rng(1).standard_normal((50, 40), dtype=np.float32)
    assert 8 < len(np.unique(clustered(16)(weights))) <= 16
    after = both(0.5, 32)(weights)
    assert (after == 0).mean() == pytest.approx(0.5, abs=0.001)
    assert 16 < len(np.unique(after)) <= 33


def test_sparse_codes_have_the_wanted_number_and_steps_that_fp16_holds() -> None:
    random = np.random.default_rng(2)
    differences = {
        name: random.laplace(scale=scale, size=size).astype(np.float32)
        for name, scale, size in (("a", 1e-3, 5000), ("b", 2e-2, 300), ("same", 0.0, 10))
    }
    codes, steps = sparse_codes(differences, 400)
    assert sum(int(np.count_nonzero(array)) for array in codes.values()) == 400
    assert "same" not in codes
    for name, step in steps.items():
        assert np.float32(np.float16(step)) == step
        kept = codes[name] != 0
        np.testing.assert_allclose(codes[name][kept] * step, differences[name][kept], atol=float(step) / 2)


def test_safetensors_are_laid_out_as_the_format_says() -> None:
    content = safetensors({"a": np.arange(3, dtype=np.float32), "b": np.ones((1, 2), np.float32)})
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    assert b'"b":{"dtype":"F32","shape":[1,2],"data_offsets":[12,20]}' in content[8 : 8 + length]
    np.testing.assert_array_equal(np.frombuffer(content[8 + length :], "<f4"), [0, 1, 2, 1, 1])


def test_training_only_the_last_layer_changes_only_it() -> None:
    import torch

    from benchmarks.peers.corpus.nets import NETS, Stage, train

    torch.manual_seed(0)
    for name, layer in (("convnet", "11"), ("squeezenet", "classifier"), ("recurrent", "head")):
        net = NETS[name]()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        train(net, Stage(None, adam=True, learning_rate=1e-3, steps=2, seed=1, layers=0.0))
        changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
        assert changed == {f"{layer}.weight", f"{layer}.bias"}


def test_images_are_the_same_every_time_and_labelled() -> None:
    images, labels = mnist_halved().images, mnist_halved().classes
    assert images.shape == (5000, 1, 14, 14)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert Counter(labels.tolist()) == dict.fromkeys(range(10), 500)


def test_every_class_has_three_pairs_and_every_pair_its_own_place() -> None:
    places = Counter((recipe.pair_class, recipe.name) for recipe in RECIPES)
    assert set(places.values()) == {1}
    by_class = Counter(recipe.pair_class for recipe in RECIPES)
    assert all(by_class[pair_class] >= 3 for pair_class in PairClass if pair_class is not PairClass.LARGE)
    assert by_class[PairClass.LARGE] == 1


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    recipes = [recipe for recipe in RECIPES if recipe.name == "demo-digits-1.0.0"]
    (made,) = assemble(tmp_path, recipes)
    assert numpy_helper.to_array(onnx.load(made.new).graph.initializer[0]).size
    assert not list(assemble(tmp_path, recipes))
    assert list(assemble(tmp_path, recipes, again=True)) == [made]

"""A pair of models whose proxies promise what the measurement does not keep: ShuffleNet in fp32 and in int8.

    python -m benchmarks.load.proxy_pair [--tier rapid] [--rounds 6] [--keep FOLDER]

Takes the ShuffleNet graph that the `onnx` package brings for its own tests (its weights are constants there; here they are drawn at random,
scaled like a trained net's, which changes no time), quantises it as a release would be (static, QDQ, int8 weights, uint8 activations), and
measures both by turns with `smallfleet bench --compare`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, version_converter

from benchmarks import commands
from compression.quantisation import quantise_int8

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light/light_shufflenet.onnx"
# Scales per output channel came with opset 13.
_OPSET = 13
_CALIBRATION = (16, 3, 224, 224)


def main() -> int:
    """Make the pair, measure it, print what `smallfleet bench --compare` prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="rapid")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="where to leave the two models")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        fp32, int8 = make_pair(folder)
        bench = argparse.ArgumentParser()
        commands.add_arguments(bench)
        options = ["--tier", args.tier, "--processes", str(args.rounds), *(["--json"] if args.json else [])]
        return commands.run(bench.parse_args([str(fp32), "--compare", str(int8), *options]))


def make_pair(folder: Path) -> tuple[Path, Path]:
    """Write `shufflenet-fp32.onnx` and `shufflenet-int8.onnx`."""
    generator = np.random.default_rng(0)
    fp32, int8 = folder / "shufflenet-fp32.onnx", folder / "shufflenet-int8.onnx"
    onnx.save(version_converter.convert_version(with_weights(onnx.load(LIGHT), generator), _OPSET), fp32)
    # One image a batch: the graph's batch axis is fixed.
    images = generator.standard_normal(_CALIBRATION, dtype=np.float32)
    quantise_int8(fp32, int8, images, batch=1)
    return fp32, int8


def with_weights(model: ModelProto, generator: np.random.Generator) -> ModelProto:
    """The model with drawn weights in place of those that nodes fill with one constant."""
    graph = model.graph
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    filled = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    for node in filled:
        shape = tuple(int(size) for size in shapes[node.input[0]])
        graph.initializer.append(numpy_helper.from_array(_drawn(shape, generator), node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    stored = {tensor.name for tensor in kept}
    del graph.initializer[:]
    graph.initializer.extend(kept)
    inputs = [value for value in graph.input if value.name in used - stored]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = 9
    return model


def _drawn(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """He's scale for kernels; means, variances, scales and biases near those of a normalised layer."""
    if len(shape) < 2:
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))


if __name__ == "__main__":
    sys.exit(main())

"""Makes the models of the demo: `python -m compression.demo_models [--out client/demo_data]`.

A SqueezeNet-style classifier of 8x8 digits is trained (1.0.0), then fine-tuned with every layer on shifted images
(1.1.0). Both are exported as fp32 with their batch normalisation folded, because that is what is deployed: fewer
tensors, fewer operations, and the form that int8 quantisation needs. Both have the same graph and tensor names.
Everything that is written down about them is measured on the written files. The same machine writes the same bytes
again; another one may differ in the last bits.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from benchmarks.samples import write_samples
from compression.datasets import Samples, load_samples, split
from compression.datasets.digits import PIXEL_MAX
from compression.evaluation import predict_classes, predict_logits
from compression.quantisation import quantise_int8

INPUT, OUTPUT = "image", "logits"
VERSIONS = ("1.0.0", "1.1.0")
SIZE_LIMIT_BYTES = 1_000_000
CHANGED_SHARE_MIN = 0.99
SAMPLES = 48
# 1.0.0 is made as if these had been all there was.
FIRST_IMAGES = 320
HELD_OUT_SAMPLES = 600
# How far a device may be from the golden outputs: another CPU sums float32 in another order; int8 is held to its
# decisions.
TOLERANCES: dict[str, dict[str, float | None]] = {
    "fp32": {"atol": 1e-3, "rtol": 1e-3, "min_agreement": None},
    "int8": {"atol": None, "rtol": None, "min_agreement": 0.95},
}


class DemoModelError(Exception):
    """The made models do not hold what the demo says of them."""


def main(argv: list[str] | None = None) -> int:
    """Make every file in `--out`; 1 when a model does not hold what is said of it."""
    parser = argparse.ArgumentParser(prog="python -m compression.demo_models", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("client/demo_data"), help="folder to write to (%(default)s)")
    out: Path = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    training, held_out = split_digits()
    try:
        _train_and_export(out, training, held_out)
        _quantise_and_sample(out, training, held_out)
        evaluations = describe(out, held_out)
    except DemoModelError as error:
        print(f"demo_models: {error}", file=sys.stderr)
        return 1
    _write_json(out / "digits.contract.json", contract())
    _write_json(out / "digits.evaluations.json", evaluations)
    for name, row in evaluations["files"].items():
        low, high = row["ci95"]
        print(f"{name:24} {row['size_bytes']:>7} bytes  accuracy {row['value']:.4f}  [{low:.4f}, {high:.4f}]")
    print(f"weights changed from 1.0.0 to 1.1.0: {evaluations['weights_changed_share']:.4%}")
    return 0


def split_digits() -> tuple[Samples, Samples]:
    """The training part (1197 images) and the held-out part."""
    return split(load_samples("digits"), held_out=HELD_OUT_SAMPLES)


def contract() -> dict[str, Any]:
    """What an application needs to run any variant."""
    return {
        "schema": "smallfleet-contract/1",
        "inputs": [{"name": INPUT, "dtype": "float32", "shape": ["N", 1, 8, 8]}],
        "outputs": [{"name": OUTPUT, "dtype": "float32", "shape": ["N", 10]}],
        "preprocessing": {"layout": "NCHW", "colour": "grey, ink is bright", "scale": f"pixel / {PIXEL_MAX:g}"},
        "labels": [str(digit) for digit in range(10)],
    }


def changed_share(old: Path, new: Path) -> float:
    """Share of the float32 weights of `old` that differ bitwise from the equally named ones of `new`.

    Raises:
        DemoModelError: the two have other tensor names, types or shapes.
    """
    before, after = _float_tensors(old), _float_tensors(new)
    if {n: a.shape for n, a in before.items()} != {n: a.shape for n, a in after.items()}:
        raise DemoModelError(f"{old.name} and {new.name} differ in names or shapes of tensors")
    changed = sum(int((before[n].view(np.uint32) != after[n].view(np.uint32)).sum()) for n in before)
    return changed / sum(array.size for array in before.values())


def describe(out: Path, held_out: Samples) -> dict[str, Any]:
    """Everything that is stated of the models, measured on the files in `out`.

    Raises:
        DemoModelError: a file is too large, 1.1.0 is not better, too few weights changed, or int8 disagrees too often.
    """
    files = {}
    for version in VERSIONS:
        golden = predict_logits(out / f"digits-{version}-fp32.onnx", held_out.images).argmax(axis=1)
        for variant, tolerances in TOLERANCES.items():
            path = out / f"digits-{version}-{variant}.onnx"
            agreement = float((predict_logits(path, held_out.images).argmax(axis=1) == golden).mean())
            files[path.name] = _evaluation(path, held_out) | {"fp32_agreement": agreement, "tolerances": tolerances}
    share = changed_share(*(out / f"digits-{version}-fp32.onnx" for version in VERSIONS))
    _require(files, share)
    return {"files": files, "weights_changed_share": share}


def _evaluation(path: Path, held_out: Samples) -> dict[str, Any]:
    found = predict_classes(path, held_out.renamed(INPUT))
    low, high = found.ci95
    return {
        "metric": "accuracy",
        "value": found.accuracy,
        "sample_count": found.n,
        "dataset_sha256": held_out.sha256(),
        "ci95": [low, high],
        "measured_by": f"onnxruntime {onnxruntime.__version__} CPU",
        "size_bytes": path.stat().st_size,
    }


def _require(files: dict[str, dict[str, Any]], share: float) -> None:
    for name, row in files.items():
        if row["size_bytes"] >= SIZE_LIMIT_BYTES:
            raise DemoModelError(f"{name} has {row['size_bytes']} bytes, allowed are fewer than {SIZE_LIMIT_BYTES}")
        if row["fp32_agreement"] < (row["tolerances"]["min_agreement"] or 1.0):
            raise DemoModelError(f"{name} agrees with fp32 on {row['fp32_agreement']:.2%} only")
    if share < CHANGED_SHARE_MIN:
        raise DemoModelError(f"only {share:.2%} of the weights changed, at least {CHANGED_SHARE_MIN:.0%} must")
    old, new = (files[f"digits-{version}-fp32.onnx"]["value"] for version in VERSIONS)
    if new <= old:
        raise DemoModelError(f"1.1.0 is not more accurate than 1.0.0: {new:.4f} and {old:.4f}")


def _train_and_export(out: Path, training: Samples, held_out: Samples) -> None:
    # Only this step needs torch.
    import copy

    import torch

    from compression.onnx_export import export_onnx
    from compression.squeezenet import SqueezeNet, SqueezeNetShape
    from compression.training import Recipe, train

    torch.use_deterministic_algorithms(mode=True)
    # One thread: sums in a fixed order, so the same bytes on every run.
    torch.set_num_threads(1)
    recipes = {
        "1.0.0": (training.first(FIRST_IMAGES), Recipe(epochs=20, peak_learning_rate=4e-3, shift_pixels=0.0, seed=100)),
        "1.1.0": (training, Recipe(epochs=10, peak_learning_rate=2e-4, shift_pixels=0.5, seed=110)),
    }
    torch.manual_seed(2017)
    stages = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((32, 128),))
    net = SqueezeNet(SqueezeNetShape(classes=10, stem_channels=64, stages=stages))
    for version, (images, recipe) in recipes.items():
        train(net, images, recipe)
        deployed = copy.deepcopy(net)
        deployed.fold_normalisation()
        path = out / f"digits-{version}-fp32.onnx"
        export_onnx(deployed, path, example=held_out.images[:SAMPLES], input_name=INPUT, output_name=OUTPUT)


def _quantise_and_sample(out: Path, training: Samples, held_out: Samples) -> None:
    images, labels = held_out.images[:SAMPLES], held_out.classes[:SAMPLES]
    for version in VERSIONS:
        source = out / f"digits-{version}-fp32.onnx"
        quantise_int8(source, out / f"digits-{version}-int8.onnx", training.images[:512])
        write_samples(
            out / f"digits-{version}.samples.npz", {INPUT: images}, {OUTPUT: predict_logits(source, images)}, labels
        )


def _float_tensors(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    initializers = onnx.load(path).graph.initializer
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in initializers}
    return {name: array for name, array in arrays.items() if array.dtype == np.float32}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

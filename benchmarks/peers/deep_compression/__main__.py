"""`python -m benchmarks.peers.deep_compression [--short] [--minutes M] [--out docs/deep-compression.md] [--json]`."""

import argparse
import bisect
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.peers.deep_compression import table
from benchmarks.peers.deep_compression.nets import train_net, write_random
from benchmarks.peers.deep_compression.plans import FULL, SEED, SHORT, Plan
from benchmarks.peers.deep_compression.results import Point, Results, Small
from benchmarks.peers.deep_compression.workshop import Made, TimeIsUp, Workshop
from benchmarks.peers.folders import default_cache
from compression.datasets import load_samples, split
from compression.deep.sharing import share
from compression.folding import fold_normalisation
from compression.rate import packed_bytes
from compression.squeezenet import SqueezeNetShape
from compression.training import Recipe

_NEAR = 1.05
"""A small net may take this much more than the net it is set beside."""


def main(argv: list[str] | None = None) -> int:
    """Make what is missing, measure all, and write the page; 3 where the time did not last, run it again then."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.deep_compression", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a small net on 8x8 digits, to see that all works")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing new after so many")
    parser.add_argument("--out", type=Path, help="page whose tables are written; without, they are printed")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--cache", type=Path, default=default_cache() / "deep-compression")
    args = parser.parse_args(argv)
    plan = SHORT if args.short else FULL
    training, held_out = split(load_samples(plan.samples), held_out=plan.held_out)
    workshop = Workshop(args.cache / plan.name, training, held_out, seed=SEED, seconds=60 * args.minutes)
    try:
        results = make(plan, workshop)
    except TimeIsUp as error:
        print(f"{error} is still to be made; run again", file=sys.stderr)
        return 3
    if args.json:
        print(json.dumps(results.as_json(), indent=2))
    elif args.out:
        table.write(args.out, results)
    else:
        print("\n".join(table.lines(results)))
    return 0


def make(plan: Plan, workshop: Workshop) -> Results:
    """Every file of the table, measured."""
    trained = _trained(workshop, "original", plan.shape, plan.recipe)
    original = workshop.step("original-folded", "fold", {}, trained)
    slim = workshop.step("slim", "structured", plan.slim, trained, teacher=original)
    slim_folded = workshop.step("slim-folded", "fold", {}, slim)
    points = []
    pruned = slim
    for sparsity, epochs in plan.rounds:
        keys = {**plan.prune, "sparsity": sparsity, "epochs": epochs}
        pruned = workshop.step(f"pruned-{sparsity}", "prune", keys, pruned, teacher=slim_folded)
        if sparsity not in plan.points:
            continue
        folded = workshop.step(f"folded-{sparsity}", "fold", {}, pruned)
        shared = workshop.step(f"shared-{sparsity}", "share", plan.share, folded, teacher=slim_folded)
        compact = workshop.step(f"compact-{sparsity}", "compact", {}, shared)
        points.append(Point(sparsity, workshop.measure(folded), workshop.measure(shared), workshop.measure(compact)))
    labels = tuple(workshop.held_out.classes.tolist())
    results = Results(plan, workshop.measure(original), workshop.measure(slim_folded), tuple(points), labels, ())
    chosen = results.chosen
    small = (
        _small(plan, workshop, chosen.compact.parts.total, original, shares=False),
        _small(plan, workshop, chosen.compact.parts.total, original, shares=True),
    )
    return replace(results, small=small)


def _trained(workshop: Workshop, name: str, shape: SqueezeNetShape, recipe: Recipe) -> Made:
    def make(target: Path) -> dict[str, Any]:
        train_net(shape, workshop.training, recipe, target)
        return {}

    return workshop.make(name, [shape, recipe], make)


def _small(plan: Plan, workshop: Workshop, most_bytes: int, original: Made, *, shares: bool) -> Small:
    """The widest net of the small family that packs to about `most_bytes`, trained from random weights."""
    kind = "shared" if shares else "fp32"
    # The first width that is too large; sizes rise with the width.
    place = bisect.bisect_right(
        plan.small_widths, _NEAR * most_bytes, key=lambda width: _packed(plan, workshop, width, shares=shares)
    )
    width = plan.small_widths[max(place - 1, 0)]
    made = _trained(workshop, f"small-{width}", plan.small(width), plan.small_recipe)
    folded = workshop.step(f"small-{width}-folded", "fold", {}, made)
    if shares:
        folded = workshop.step(f"small-{width}-shared", "share", plan.small_share, folded, teacher=original)
    return Small(kind, width, workshop.measure(folded))


def _packed(plan: Plan, workshop: Workshop, width: int, *, shares: bool) -> int:
    """What the net packs to with random weights, which is nearly what it packs to when it is trained."""
    path = workshop.folder / "width.onnx"
    write_random(plan.small(width), workshop.training, path)
    model, _ = fold_normalisation(onnx.load(path))
    for tensor in model.graph.initializer if shares else ():
        bits = plan.small_share["convolution_bits" if len(tensor.dims) > 1 else "bias_bits"]
        values = share(numpy_helper.to_array(tensor).astype(np.float32), 1 << bits).weights()
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    size = packed_bytes(path)
    path.unlink()
    return size


if __name__ == "__main__":
    raise SystemExit(main())

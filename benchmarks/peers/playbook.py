"""What each move of the playbook buys, on one net: `python -m benchmarks.peers.playbook [--write docs/playbook.md]`.

A small net in the manner of AlexNet (four convolutions that halve early, most weights in fully connected layers) is trained on the 8x8 digits.
Each move is applied to it by itself; what is no exact rewrite is trained again by the recipe that the net "before" was trained again by.
300 images train; counts and bytes are those of the ONNX file, accuracy is measured on it by the ruler on the other 1,497. About two minutes on
one core; the same seeds give the same figures on one machine.
"""

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from benchmarks.accuracy import Predictions
from benchmarks.paired import Paired, compare
from compression.datasets import Samples, load_samples, split
from compression.evaluation import predict_classes
from compression.onnx_export import export_onnx
from compression.pages import Section
from compression.playbook import (
    Cost,
    averaged_classifier,
    binarise,
    cost_of_file,
    depthwise_separable,
    fully_convolutional,
    group_convolutions,
    reduce_channels,
    reduce_kernels,
    settle,
    shuffle_groups,
    space_downsampling,
    squeeze_before,
)
from compression.playbook.files import on_file
from compression.steps import Workbench
from compression.training import Recipe, train

SECTION = Section("<!-- generated: python -m benchmarks.peers.playbook -->", "<!-- end of what is generated -->")
SEED = 2017
HELD_OUT = 1497
SHAPE = (1, 8, 8)
INPUT, OUTPUT = "image", "logits"
# Few images, so that a net has something to be worse at.
RECIPE = Recipe(epochs=30, peak_learning_rate=4e-3, shift_pixels=0.5, seed=SEED, batch=30)


def plain() -> nn.Sequential:
    """The net that is made smaller: float32 [N, 1, 8, 8] to [N, 10]."""

    def unit(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *unit(1, 32),
        nn.MaxPool2d(2),
        *unit(32, 64),
        nn.MaxPool2d(2),
        *unit(64, 64),
        *unit(64, 64),
        nn.Flatten(),
        nn.Linear(256, 512),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(512, 10),
    )


@dataclass(frozen=True, slots=True)
class TorchMove:
    """A move on the torch module: what it makes, whether that is trained again, and what makes it an ordinary net for export."""

    section: str
    name: str
    make: Callable[[nn.Module], nn.Module]
    exact: bool = False
    finish: Callable[[nn.Module], nn.Module] = lambda net: net


@dataclass(frozen=True, slots=True)
class FileMove:
    """Moves on the ONNX file, one after the other: name and options of each."""

    section: str
    name: str
    moves: tuple[tuple[str, dict[str, float]], ...]
    # What the file is of that they begin with.
    start: Callable[[nn.Module], nn.Module] = lambda net: net


def _small(net: nn.Module) -> nn.Module:
    return depthwise_separable(averaged_classifier(net, SHAPE))


BEFORE = TorchMove("", "before, trained again like all below", lambda net: net)
MOVES: tuple[TorchMove | FileMove, ...] = (
    TorchMove("5.2", "fully connected → convolution, exact", lambda net: fully_convolutional(net, SHAPE), exact=True),
    TorchMove("5.2", "fully connected → 1x1 and global average", lambda net: averaged_classifier(net, SHAPE)),
    TorchMove("5.3", "half of the filters 1x1 (p = 1/2)", lambda net: reduce_kernels(net, 0.5)),
    TorchMove("5.3", "all filters 1x1 (p = 0)", lambda net: reduce_kernels(net, 0.0)),
    TorchMove("5.4", "half of the channels", lambda net: reduce_channels(net, 0.5)),
    TorchMove("5.4", "squeeze to 1/4 before each 3x3", lambda net: squeeze_before(net, 0.25)),
    TorchMove("5.5", "evenly spaced downsampling", space_downsampling),
    TorchMove("5.6", "4 groups", lambda net: group_convolutions(net, 4)),
    TorchMove("5.6", "depthwise separable", depthwise_separable),
    TorchMove("5.7", "4 groups and shuffle", lambda net: shuffle_groups(group_convolutions(net, 4))),
    FileMove(
        "5.8", "pruned to 1/10", (("pruning", {"sparsity": 0.9, "epochs": 30, "batch": 30, "shift_pixels": 0.5}),)
    ),
    FileMove(
        "5.8",
        "pruned to 1/10, shared weights",
        (
            ("pruning", {"sparsity": 0.9, "epochs": 30, "batch": 30, "shift_pixels": 0.5}),
            ("weight sharing", {"epochs": 6, "batch": 30, "shift_pixels": 0.5}),
        ),
    ),
    FileMove("5.8", "int8", (("quantisation", {}),)),
    FileMove(
        "5.8",
        "a quarter of the channels, distilled",
        (("distillation", {"epochs": 30, "batch": 30, "shift_pixels": 0.5}),),
        lambda net: reduce_channels(net, 0.25),
    ),
    TorchMove("5.8", "binary weights", binarise, finish=settle),
    TorchMove("5.2 + 5.6", "averaged and depthwise separable", _small),
    FileMove(
        "all",
        "averaged, depthwise separable, pruned to 1/3, shared weights",
        (
            ("pruning", {"sparsity": 0.67, "epochs": 30, "batch": 30, "shift_pixels": 0.5}),
            ("weight sharing", {"epochs": 6, "batch": 30, "shift_pixels": 0.5}),
        ),
        _small,
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A move, what its file costs and how good it is."""

    section: str
    name: str
    cost: Cost
    accuracy: float
    ci95: tuple[float, float]
    against_before: Paired | None


def main(argv: list[str] | None = None) -> int:
    """Measure every move and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.playbook", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of this document")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    rows = list(measured())
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    table = "\n".join(markdown(rows))
    print(table)
    if args.write:
        args.write.write_text(SECTION.put(args.write.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


def measured() -> Iterator[Row]:
    """The row of the net as it was, and one for each move."""
    training, held_out = split(load_samples("digits"), held_out=HELD_OUT)
    torch.manual_seed(SEED)
    net = plain()
    train(net, training, RECIPE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = folder / "before.onnx"
        _make(BEFORE, net, base, training)
        found = predict_classes(base, held_out)
        yield _row(BEFORE, base, found, None)
        bench = Workbench(training=training, held_out=held_out, seed=SEED, teacher=base)
        for number, move in enumerate(MOVES):
            path = folder / f"{number}.onnx"
            if isinstance(move, TorchMove):
                _make(move, net, path, training)
            else:
                _make_file(move, net, path, training, bench)
            yield _row(move, path, predict_classes(path, held_out), found)


def _make(move: TorchMove, net: nn.Module, path: Path, training: Samples) -> None:
    torch.manual_seed(SEED)
    moved = move.make(net)
    if not move.exact:
        moved = copy.deepcopy(moved)
        train(moved, training, RECIPE)
    _export(move.finish(moved).eval(), path, training)


def _make_file(move: FileMove, net: nn.Module, path: Path, training: Samples, bench: Workbench) -> None:
    _make(TorchMove(move.section, move.name, move.start), net, path, training)
    for number, (name, options) in enumerate(move.moves):
        target = path.with_name(f"{path.stem}-{number}.onnx")
        on_file(name, path, target, bench, **options)
        target.replace(path)


def _export(net: nn.Module, path: Path, training: Samples) -> None:
    export_onnx(net, path, example=training.images[:8], input_name=INPUT, output_name=OUTPUT)


def _row(move: TorchMove | FileMove, path: Path, found: Predictions, before: Predictions | None) -> Row:
    paired = compare(found.classes, before.classes, found.labels) if before and found.labels else None
    row = Row(move.section, move.name, cost_of_file(path, packed=True), found.accuracy, found.ci95, paired)
    print(f"{row.name}: {row.cost.param_count:,} parameters, {row.accuracy:.4f}", file=sys.stderr, flush=True)
    return row


def markdown(rows: list[Row]) -> Iterator[str]:
    """The table, its first row the net as it was."""
    yield "| section | move | parameters | file, bytes | packed, bytes | MACs | accuracy, % | against before, points |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        cost = row.cost
        packed = "" if cost.packed_bytes is None else f"{cost.packed_bytes:,}"
        low, high = row.ci95
        accuracy = f"{100 * row.accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        cells = (
            row.section,
            row.name,
            f"{cost.param_count:,}",
            f"{cost.size_bytes:,}",
            packed,
            f"{cost.macs:,}",
            accuracy,
        )
        yield f"| {' | '.join(cells)} | {_difference(row.against_before)} |"


def _difference(paired: Paired | None) -> str:
    if paired is None:
        return ""
    low, high = paired.difference_ci95
    return f"{100 * paired.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


if __name__ == "__main__":
    raise SystemExit(main())

"""Ten updates one after another by rungs: `python -m benchmarks.peers.ladder_drift`. Does what devices hold stay near the publisher's versions?

A publisher trains a SqueezeNet on part of MNIST (14 x 14) or digits and goes on fine-tuning it, ten times, on all of it moved about. Devices get
each version as the thrifty rung (or another, --promise) from what they hold, which is the last rung; rungs are chosen on images that the publisher
did not train on. Printed are, for each update, the bytes of the patch (exact), of the lossless patch between the publisher's own versions, and the
accuracy of both on images that neither training nor ladder saw. With --nncodec the same chain by NNCodec: of its sweep the cheapest that agrees with
the publisher's version as often as our rung does, from what it restored before.

Needs the extras `compression` and `peers`. Each update is told as it is done.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.folders import default_cache
from compression.datasets import Samples, load_samples, split
from compression.evaluation import predict_classes
from compression.ladder.choice import PROMISES, Promise
from compression.ladder.drift import Update, follow
from compression.ladder.rungs import Bench
from compression.ladder.task import Task
from compression.ladder.trained import TrainedRungs
from compression.pages import Section
from compression.rate import delta_bytes

SECTION = Section("<!-- drift -->", "<!-- end of drift -->")
UPDATES = 10
HELD_OUT = 0.3
CHOOSING = 0.2
PROMISED = {promise.name: promise for promise in PROMISES}
_INPUT = "image"


@dataclass(frozen=True, slots=True)
class Row:
    """One update: our bytes, lossless bytes, NNCodec's, and accuracies in 0..1."""

    number: int
    rung_bytes: int
    lossless_bytes: int
    nncodec_bytes: int | None
    agreement: float
    device_accuracy: float
    publisher_accuracy: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Follow the updates and print the table; 1 where the last is farther than half a point from the publisher's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.ladder_drift", description=__doc__)
    parser.add_argument("--data", choices=("digits", "mnist14"), default="digits", help="(%(default)s)")
    parser.add_argument("--updates", type=int, default=UPDATES, metavar="N", help="how many (%(default)s)")
    parser.add_argument(
        "--iterations",
        type=int,
        default=2000,
        metavar="N",
        help="batches for the dearest rung, half as many for the cheapest (%(default)s)",
    )
    parser.add_argument(
        "--promise", choices=list(PROMISED), default="thrifty", help="what each update is to keep (%(default)s)"
    )
    parser.add_argument("--nncodec", action="store_true", help="the same chain by NNCodec")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the marks of this document")
    args = parser.parse_args(arguments)
    rows = []
    for row in measure(args.data, args.updates, args.iterations, PROMISED[args.promise], nncodec=args.nncodec):
        rows.append(row)
        print(f"update {row.number}: {row.rung_bytes:,} bytes, agrees {row.agreement:.2%}", file=sys.stderr)
    text = "\n".join(table(rows))
    print(text)
    if args.write:
        args.write.write_text(SECTION.put(args.write.read_text(encoding="utf-8"), text), encoding="utf-8")
    return int(abs(rows[-1].device_accuracy - rows[-1].publisher_accuracy) > 0.005)


def measure(data: str, updates: int, iterations: int, promise: Promise, *, nncodec: bool) -> Iterator[Row]:
    """Train, follow, compare."""
    known, held_out = split(load_samples(data), held_out=HELD_OUT)
    training, choosing = split(known, held_out=CHOOSING)
    maker = TrainedRungs(
        rungs=2, iterations=iterations, last_iterations=iterations // 2, lowest_rate=1e-6, highest_rate=1.5e-5
    )
    with tempfile.TemporaryDirectory() as folder:
        base, *versions = publish(Path(folder), training, updates)
        chain = base
        before = base
        bench = Bench(Path(folder))
        for update in follow(
            base, versions, training, held_out, maker=maker, bench=bench, choosing=choosing, promise=promise
        ):
            version = versions[update.number - 1]
            theirs: int | None = None
            if nncodec:
                target = Path(folder) / f"nncodec-{update.number}.onnx"
                theirs = by_nncodec(Task(chain, version, training, held_out), update, target)
                chain = target
            yield Row(
                number=update.number,
                rung_bytes=update.delta_bytes,
                lossless_bytes=delta_bytes(before, version),
                nncodec_bytes=theirs,
                agreement=update.judged.agreement,
                device_accuracy=update.judged.predictions.accuracy,
                publisher_accuracy=predict_classes(version, held_out).accuracy,
            )
            before = version


def publish(folder: Path, training: Samples, updates: int) -> list[Path]:
    """The publisher's versions, the first trained on a third of the samples, each further one from the last on all of them."""
    import torch

    from compression.determinism import repeatable
    from compression.onnx_export import export_onnx
    from compression.squeezenet import SqueezeNet, SqueezeNetShape
    from compression.training import Recipe, train

    with repeatable():
        torch.manual_seed(1)
        net = SqueezeNet(SqueezeNetShape(10, 32, (((16, 32), (16, 32)), ((24, 64), (24, 64)), ((32, 96),))))
        files = []
        for number in range(updates + 1):
            first = number == 0
            seen = training.first(len(training) // 3) if first else training
            recipe = Recipe(20, 4e-3, 0.0, seed=1) if first else Recipe(3, 5e-4, 0.5, seed=1 + number)
            train(net, seen, recipe)
            files.append(folder / f"published-{number}.onnx")
            export_onnx(
                net,
                files[-1],
                example=training.images[:8],
                input_name=_INPUT,
                output_name="logits",
                keep_normalisation=True,
            )
        return files


def by_nncodec(task: Task, update: Update, target: Path) -> int:
    """Write what NNCodec restores at the fewest bytes that agree as often as our rung; those bytes. Chosen on the held-out samples, in its favour."""
    from benchmarks.peers.codecs import nncodec

    aligned = task.aligned
    differences = {name: aligned.target[name] - aligned.base[name] for name in aligned.moving}
    wanted = np.array(predict_classes(task.new, task.held_out).classes)
    best: tuple[bool, float, int] | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "restored.onnx"
        for coded in nncodec.code(differences, list(nncodec.sweep(differences, None)), cache=default_cache()):
            task.write(path, {name: aligned.base[name] + coded.difference[name] for name in differences})
            agreement = float((np.array(predict_classes(path, task.held_out).classes) == wanted).mean())
            is_as_good = agreement >= update.judged.agreement
            rank = (not is_as_good, coded.size_bytes if is_as_good else -agreement, coded.size_bytes)
            if best is None or rank < best:
                best = rank
                target.write_bytes(path.read_bytes())
    if best is None:
        raise RuntimeError("NNCodec gave nothing")
    return best[2]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """As Markdown, with the sums."""
    yield "| update | rung, bytes | lossless, bytes | NNCodec, bytes | agrees with the publisher's | devices | publisher |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        theirs = "" if row.nncodec_bytes is None else f"{row.nncodec_bytes:,}"
        yield (
            f"| {row.number} | {row.rung_bytes:,} | {row.lossless_bytes:,} | {theirs} | {row.agreement:.2%} "
            f"| {row.device_accuracy:.2%} | {row.publisher_accuracy:.2%} |"
        )
    ours, lossless = sum(row.rung_bytes for row in rows), sum(row.lossless_bytes for row in rows)
    nncodec = sum(row.nncodec_bytes or 0 for row in rows)
    yield f"| all | {ours:,} | {lossless:,} | {f'{nncodec:,}' if nncodec else ''} | | | |"


if __name__ == "__main__":
    raise SystemExit(main())

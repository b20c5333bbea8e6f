"""Make rungs between what devices hold and a new version: files that are nearly the new version and cost few bytes to get to.

Works from two ONNX files with the same weights by name and shape; no torch model and no labels are needed. Part of the samples is held out and
only measured on. Writes each rung as an ONNX file, beside it the record of how it was made (NAME.recipe.json), and ladder.json and ladder.svg.

With --publish the chosen rungs (at most three) become variants of a version, with what they were made from and how good they are.
"""

import argparse
import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.connection import add_connection_arguments, connect
from client.errors import ConfigError
from client.files import require_file, write_whole
from client.output import print_json, print_table
from client.progress import terminal_progress as terminal_transfers
from client.publishing import Published, publish
from client.release import add_release_arguments, publication_of, require_release
from client.signing import add_signing_arguments, line_of, signing_of
from compression.datasets import HELD_OUT, SPLIT_SEED, Samples, load_samples, split_for
from compression.progress import terminal_progress

if TYPE_CHECKING:
    from compression.ladder.making import Ladder, Made
    from compression.ladder.rungs import Report, RungMaker

_PROGRESS_STEPS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--base",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="what devices hold; rungs are made from the first, bytes are reported from each",
    )
    parser.add_argument("--new", type=Path, required=True, metavar="FILE", help="the version to get near")
    parser.add_argument(
        "--data", required=True, metavar="FILE.npz|NAME", help="samples: arrays input:<name>, labels if any"
    )
    parser.add_argument(
        "--choose-on",
        metavar="FILE.npz|NAME",
        help="samples that the new version was not trained on, to choose rungs on: only these tell how often answers "
        "will differ (without it: part of --data, and more care)",
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=HELD_OUT,
        metavar="SHARE",
        help="of the samples, to report on alone (%(default)s)",
    )
    parser.add_argument("--method", choices=("trained", "post-training"), default="trained", help="how (%(default)s)")
    parser.add_argument(
        "--rungs",
        type=int,
        default=3,
        metavar="N",
        help="how many to train before one is aimed at each promise (%(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10,
        metavar="M",
        help="about how long training may take (%(default)s); see --iterations",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="batches for the rung nearest to the new version, falling to half as many for the cheapest, whatever the time: "
        "the same bytes again on one machine",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="rungs that are trained at a time, a process each; bytes do not depend on it (%(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="of torch for each rung; another number, other bytes (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=SPLIT_SEED,
        metavar="N",
        help="of splits, order and variations (%(default)s)",
    )
    parser.add_argument("--out", type=Path, default=Path("ladder"), metavar="DIR", help="folder (%(default)s)")
    parser.add_argument(
        "--publish", action="store_true", help="publish the chosen rungs; see release, signing and server"
    )
    add_release_arguments(parser, required=False)
    add_signing_arguments(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make a ladder, write it down, publish it if asked."""
    _require_usable(args)
    from compression.ladder.making import make_ladder
    from compression.ladder.report import document, draw
    from compression.ladder.rungs import Bench
    from compression.ladder.task import Task

    samples = load_samples(args.data)
    training, held_out = _apart(_named_as_input(samples, args.new), args.held_out, args.seed)
    choosing = None if args.choose_on is None else _named_as_input(load_samples(args.choose_on), args.new)
    task = Task(args.base[0], args.new, training, held_out, args.seed, choosing)
    args.out.mkdir(parents=True, exist_ok=True)
    with _progress() as report:
        ladder = make_ladder(
            task,
            Bench(args.out, args.threads, args.workers, None if args.iterations is not None else args.minutes, report),
            held=args.base[1:],
            maker=_maker(args),
        )
    found = document(ladder)
    write_whole(args.out / "ladder.json", (json.dumps(found, indent=2) + "\n").encode())
    draw(ladder, args.out / "ladder.svg")
    for made in ladder.made:
        _write_record(made, ladder, samples)
    published = _publish(args, ladder, samples) if args.publish else {}
    if args.json:
        print_json(found | {"published": {name: asdict(one) for name, one in published.items()}})
    else:
        _print(ladder, args.out, published)
    return 0


def _maker(args: argparse.Namespace) -> "RungMaker":
    """What the options ask for."""
    if args.method == "post-training":
        from compression.ladder.post_training import PostTraining

        return PostTraining(gradients=False)
    from compression.ladder.trained import TrainedRungs

    maker = TrainedRungs(rungs=args.rungs)
    if args.iterations is None:
        return maker
    return replace(maker, iterations=args.iterations, last_iterations=math.ceil(args.iterations / 2))


def _require_usable(args: argparse.Namespace) -> None:
    if args.publish:
        require_release(args)
    for name in ("rungs", "workers", "threads"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more, got {getattr(args, name)}")
    if args.iterations is not None and args.iterations < 1:
        raise ConfigError(f"--iterations must be 1 or more, got {args.iterations}")
    if not args.minutes > 0:
        raise ConfigError(f"--minutes must be more than 0, got {args.minutes:g}")
    if not 0 < args.held_out < 1:
        raise ConfigError(f"--held-out is a share between 0 and 1, got {args.held_out:g}")
    for file in (*args.base, args.new):
        require_file(file)
        # A rung of the last ladder is what devices hold by the next one, and rungs of all ladders have the same names.
        if file.resolve().parent == args.out.resolve():
            raise ConfigError(f"{file} stands in --out, where rungs may take its place; choose another folder")


def _named_as_input(samples: Samples, model: Path) -> Samples:
    """With the name of the model's only input where both have just one; otherwise as they are, and names must fit.

    Raises:
        ModelUnusable: it is no ONNX file.
        DataUnusable: the samples are not what its inputs take.
    """
    from compression.ladder.task import input_names
    from compression.onnx_files import read_model
    from compression.quantisation.checks import require_fit

    read = read_model(model)
    names = input_names(read)
    named = samples.renamed(names[0]) if len(names) == len(samples.inputs) == 1 else samples
    require_fit(model, read, named)
    return named


def _apart(samples: Samples, held_out: float, seed: int) -> tuple[Samples, Samples]:
    """The samples to make with and those to report on; by class where there are labels."""
    if samples.labels is not None:
        return split_for(samples, held_out=held_out, seed=seed)
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(samples))
    kept = max(round(held_out * len(samples)), 1)
    return samples.take(order[kept:]), samples.take(order[:kept])


@contextlib.contextmanager
def _progress() -> Iterator["Report"]:
    """What is done, as a bar."""
    with terminal_progress("ladder", _PROGRESS_STEPS) as advance:
        shown = 0

        def report(_what: str, share: float) -> None:
            nonlocal shown
            now = round(share * _PROGRESS_STEPS)
            advance(now - shown)
            shown = now

        yield report


def _write_record(made: "Made", ladder: "Ladder", samples: Samples) -> None:
    """How the rung was made, beside it."""
    from compression.provenance import document_bytes

    record = _record(made, ladder, samples)
    write_whole(made.rung.candidate.path.with_suffix(".recipe.json"), document_bytes(record))


def _record(made: "Made", ladder: "Ladder", samples: Samples) -> dict[str, Any]:
    from compression.provenance import StepRecord, recipe_document

    candidate, task = made.rung.candidate, ladder.task
    facts = {
        "base_sha256": hashlib.sha256(task.base.read_bytes()).hexdigest(),
        "agreement": made.rung.held_out.agreement,
        "delta_bytes": made.rung.base_bytes,
        "chosen_as": made.chosen_as or None,
        "chosen_on_sha256": task.parts[1].sha256(),
    }
    return recipe_document(
        recipe=_recipe(candidate.settings, candidate.method, task.seed),
        seed=task.seed,
        source=task.new,
        samples=samples,
        held_out=len(task.held_out),
        steps=[StepRecord(f"ladder {candidate.method}", candidate.settings, facts)],
    )


def _recipe(settings: Mapping[str, Any], method: str, seed: int) -> str:
    """The settings as TOML; those of a table within them with the table's name before a dot."""
    lines = [f"seed = {seed}", "[ladder]", f"method = {json.dumps(method)}"]
    for name, value in settings.items():
        rows = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, Mapping) else {name: value}
        lines += [f"{key} = {json.dumps(one)}" for key, one in rows.items() if one is not None]
    return "\n".join(lines) + "\n"


def _publish(args: argparse.Namespace, ladder: "Ladder", samples: Samples) -> dict[str, Published]:
    """The chosen rungs by their names as variants."""
    import onnxruntime

    from compression.ladder.choice import variant_names
    from compression.ladder.report import evaluations

    names = variant_names(ladder.chosen)
    measured_by = f"onnxruntime {onnxruntime.__version__} CPU"
    base_sha256 = hashlib.sha256(args.base[0].read_bytes()).hexdigest()
    with connect(args) as rest:
        signing = None if args.draft else signing_of(args, line_of(args, rest, args.model))
        return {
            names[made.rung.candidate.name]: publish(
                rest,
                publication_of(
                    args,
                    file=made.rung.candidate.path,
                    variant=names[made.rung.candidate.name],
                    evaluations=evaluations(made, ladder, measured_by=measured_by),
                    base_sha256=base_sha256,
                    recipe=_record(made, ladder, samples),
                ),
                signing,
                terminal_transfers,
            )
            for made in ladder.made
            if made.chosen_as
        }


def _print(ladder: "Ladder", out: Path, published: dict[str, Published]) -> None:
    from compression.ladder.report import headers, rows

    if ladder.fallback:
        print(f"made without training, because torch cannot run this graph: {ladder.fallback}\n")
    print_table(headers(ladder), rows(ladder))
    print(
        f"\nmeasured on {len(ladder.task.held_out):,} samples that nothing was trained or chosen on; {ladder.seconds / 60:.1f} minutes"
    )
    if not ladder.chosen:
        print("no rung is worth publishing")
    print(f"written: {out}/*.onnx with *.recipe.json, ladder.json, ladder.svg")
    for name, one in published.items():
        print(f"{'' if one.changed else 'already '}{one.state}: {name} ({one.sha256[:12]}, {one.size_bytes:,} bytes)")

"""Publish one variant of a version: upload what the server lacks, name it, evaluate it, publish the version.

Run again with the same files it changes nothing and succeeds; with other bytes under a taken name the server refuses.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from client.connection import add_connection_arguments, connect
from client.options import evaluation, tolerances
from client.output import print_json
from client.progress import terminal_progress
from client.publishing import Publication, Published, publish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="MODEL.onnx", help="one self-contained ONNX file")
    parser.add_argument("--model", required=True, help="name of the model line, e.g. keyword-spotter")
    parser.add_argument("--version", required=True, help="semantic version, e.g. 1.2.0")
    parser.add_argument("--variant", required=True, help="name of this form of the version, e.g. fp32 or int8")
    parser.add_argument("--contract", type=Path, required=True, help="contract of the version, JSON")
    parser.add_argument("--samples", type=Path, help="sample set of the version, .npz with inputs and golden outputs")
    parser.add_argument(
        "--evaluation",
        type=evaluation,
        action="append",
        default=[],
        metavar="accuracy=0.982,n=1500,dataset=SHA256[,low=L,high=H][,by=WHO]",
        help="a measured quality; may be given several times",
    )
    parser.add_argument(
        "--tolerance",
        type=tolerances,
        default={},
        metavar="atol=A,rtol=R,min_agreement=M",
        help="how far a device may be from the golden outputs",
    )
    parser.add_argument("--base", metavar="SHA256", help="the artifact that this variant was made as a difference to")
    parser.add_argument("--draft", action="store_true", help="do not publish the version yet")
    parser.add_argument(
        "--accept-over-budget", action="store_true", help="publish although a limit of the model line is broken"
    )
    parser.add_argument("--create-model", action="store_true", help="create the model line if there is none")
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Publish and say what changed."""
    wanted = Publication(
        file=args.file,
        model=args.model,
        version=args.version,
        variant=args.variant,
        contract=args.contract,
        sample_set=args.samples,
        base_sha256=args.base,
        tolerances=args.tolerance,
        evaluations=args.evaluation,
        create_model=args.create_model,
        draft=args.draft,
        accept_over_budget=args.accept_over_budget,
    )
    with connect(args) as rest:
        published = publish(rest, wanted, terminal_progress)
    if args.json:
        names = {"model": args.model, "version": args.version, "variant": args.variant}
        print_json(names | asdict(published))
    else:
        print(_sentence(wanted, published))
    return 0


def _sentence(wanted: Publication, published: Published) -> str:
    name = f"{wanted.model} {wanted.version} {wanted.variant}"
    if not published.changed:
        return f"already {published.state}: {name} ({published.sha256[:12]}), nothing changed"
    return (
        f"{published.state}: {name} ({published.sha256[:12]}, {published.size_bytes:,} bytes; "
        f"{published.uploaded_bytes:,} bytes uploaded)"
    )

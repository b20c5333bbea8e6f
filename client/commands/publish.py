"""Publish one variant of a version: upload what the server lacks, name it, evaluate it, sign it, publish the version.

What devices may install is a list that the publisher's key signs here (`smallfleet trust init` made key and list); the server only keeps it.
Run again with the same files it changes nothing and succeeds; with other bytes under a taken name the server refuses.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from client.connection import add_connection_arguments, connect
from client.files import read_object
from client.options import evaluation
from client.output import print_json
from client.progress import terminal_progress
from client.publishing import Publication, Published, publish
from client.release import add_release_arguments, publication_of
from client.signing import add_signing_arguments, line_of, signing_of
from client.trust.documents import MAX_TARGETS

# Twice what the server keeps, which counts without spaces: it is the one that refuses.
MAX_RECIPE_FILE_BYTES = 128_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="MODEL.onnx", help="one self-contained ONNX file")
    parser.add_argument("--variant", required=True, help="name of this form of the version, e.g. fp32 or int8")
    parser.add_argument(
        "--evaluation",
        type=evaluation,
        action="append",
        default=[],
        metavar="accuracy=0.982,n=1500,dataset=SHA256[,low=L,high=H][,by=WHO]",
        help="a measured quality; may be given several times",
    )
    parser.add_argument("--base", metavar="SHA256", help="the artifact that this variant was made as a difference to")
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="how it was made: the NAME.recipe.json that compress, ladder or study wrote; kept with the variant",
    )
    add_release_arguments(parser, required=True)
    add_signing_arguments(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Publish and say what changed."""
    wanted = publication_of(
        args,
        file=args.file,
        variant=args.variant,
        evaluations=args.evaluation,
        base_sha256=args.base,
        recipe=read_object(args.recipe, limit_bytes=MAX_RECIPE_FILE_BYTES) if args.recipe else None,
    )
    with connect(args) as rest:
        signing = None if args.draft else signing_of(args, line_of(args, rest, args.model))
        published = publish(rest, wanted, signing, terminal_progress)
    if args.json:
        names = {"model": args.model, "version": args.version, "variant": args.variant}
        print_json(names | asdict(published))
    else:
        print(_sentence(wanted, published))
        for name, before in published.signed_before.items():
            print(f"  signed otherwise than before: {name}, was {'not set' if before is None else json.dumps(before)}")
        if published.archived:
            print(f"archived to make room (at most {MAX_TARGETS} variants are live): {', '.join(published.archived)}")
    return 0


def _sentence(wanted: Publication, published: Published) -> str:
    name = f"{wanted.model} {wanted.version} {wanted.variant}"
    if not published.changed:
        return f"already {published.state}: {name} ({published.sha256[:12]}), nothing changed"
    return (
        f"{published.state}: {name} ({published.sha256[:12]}, {published.size_bytes:,} bytes; "
        f"{published.uploaded_bytes:,} bytes uploaded)"
        + (f", signed in list {published.list_version}" if published.list_version else "")
    )

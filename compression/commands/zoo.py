"""The reference architectures of the papers: list them, count them beside the papers' figures, export one to ONNX.

`list` shows names, papers and the input each net is counted for.
`table` exports every net to a temporary folder, counts the file and deletes it, one at a time; counts are kept in the user's
cache folder until our sources, torch or onnx change. With a price it says what one update of the whole file costs.
`export` writes one net with weights from a seed, checks the file, and runs it in ONNX Runtime beside torch.
"""

import argparse
import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any

from client.errors import ConfigError, LocalFileError
from client.files import require_file, write_whole
from client.output import number_text, print_json, print_table
from compression.pages import Section
from compression.progress import terminal_progress
from compression.zoo import ZOO, NetShape, ZooEntry
from compression.zoo.entry import DTYPE_BYTES, MB
from compression.zoo.table import Row, table

SECTION = Section("<!-- zoo table -->", "<!-- end of zoo table -->")
EPILOG = (
    "exit codes: 0 done; 1 the written file does not compute what torch computes; 2 wrong usage, an unknown net or an input it "
    "cannot take; 5 a file cannot be written"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="names, papers and inputs")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    counting = actions.add_parser("table", help="count every net beside its paper's figure")
    counting.add_argument("--only", nargs="+", metavar="NAME", help="only these nets")
    counting.add_argument(
        "--price", type=_not_negative, metavar="PER_MB", help="what 10^6 bytes cost on the way to a device"
    )
    counting.add_argument(
        "--devices", type=_at_least_one, default=1, metavar="N", help="how many devices (%(default)s)"
    )
    counting.add_argument("--again", action="store_true", help="count what was counted before")
    form = counting.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    form.add_argument("--markdown", action="store_true", help="print the table and the explanations as Markdown")
    form.add_argument("--into", type=Path, metavar="FILE", help="put the Markdown between the marks in this file")
    writing = actions.add_parser("export", help="write one net to an ONNX file")
    writing.add_argument("name", metavar="NAME")
    writing.add_argument("--out", type=Path, required=True, metavar="FILE")
    writing.add_argument("--classes", type=_at_least_one, metavar="N", help="by default the paper's")
    writing.add_argument(
        "--channels", type=_at_least_one, metavar="N", help="of the input image, by default the paper's"
    )
    writing.add_argument(
        "--size", type=_at_least_one, metavar="H", help="height of the input, and width without --width"
    )
    writing.add_argument("--width", type=_at_least_one, metavar="W", help="width of the input")
    writing.add_argument("--dtype", choices=DTYPE_BYTES, help="of weights, input and outputs; by default the paper's")
    writing.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    return {"list": _list, "table": _table, "export": _export}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    if args.json:
        print_json([_described(entry) for entry in ZOO.values()])
        return 0
    rows = [
        (entry.name, _shape_text(entry.shape), entry.paper.figure, f"{entry.paper.citation}; {entry.paper.section}")
        for entry in ZOO.values()
    ]
    print_table(("net", "input", "paper's size", "paper"), rows)
    return 0


def _table(args: argparse.Namespace) -> int:
    if args.into:
        _with_table(args.into, "")
    entries = [_entry(name) for name in args.only] if args.only else list(ZOO.values())
    with terminal_progress("nets", len(entries)) as advance:
        rows = table(entries, again=args.again, counted=advance)
    if args.json:
        print_json([row.as_json() | _costs(row, args) for row in rows])
    elif args.markdown:
        print(_markdown(rows, args))
    elif args.into:
        write_whole(args.into, _with_table(args.into, _markdown(rows, args)))
    else:
        print_table(*_cells(rows, args))
        print()
        for row in rows:
            print(f"{row.entry.name}: {row.explanation}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from compression.zoo.export import export_entry

    entry = _entry(args.name)
    entry = dataclasses.replace(entry, dtype=args.dtype or entry.dtype)
    height = args.size or entry.shape.height
    shape = NetShape(
        channels=args.channels or entry.shape.channels,
        height=height,
        width=args.width or args.size or entry.shape.width,
        classes=args.classes or entry.shape.classes,
    )
    if not args.out.parent.is_dir():
        raise LocalFileError(f"{args.out}: there is no folder {args.out.parent}")
    # Beside the target, so that the name appears when the file is checked, by one rename.
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".zoo-") as folder:
        path = Path(folder) / args.out.name
        try:
            difference = export_entry(entry, path, shape=shape, seed=args.seed)
        except ValueError as error:
            raise ConfigError(f"{entry.name}: {error}") from error
        size_bytes = path.stat().st_size
        path.replace(args.out)
    print(
        f"{args.out}: {entry.title} for {_shape_text(shape)}, {size_bytes:,} bytes; ONNX Runtime and torch differ by at most "
        f"{difference:.1e} of the largest output"
    )
    return 0


def _entry(name: str) -> ZooEntry:
    if name not in ZOO:
        raise ConfigError(f"no net {name!r} in the zoo; there are {', '.join(ZOO)}")
    return ZOO[name]


def _described(entry: ZooEntry) -> dict[str, Any]:
    shape = entry.shape
    return {
        "name": entry.name,
        "title": entry.title,
        "input": [shape.channels, shape.height, shape.width],
        "classes": shape.classes,
        "dtype": entry.dtype,
        "paper": entry.paper.citation,
        "section": entry.paper.section,
        "paper_figure": entry.paper.figure,
        "paper_bytes": entry.paper.paper_bytes,
    }


def _shape_text(shape: NetShape) -> str:
    return f"{shape.channels} x {shape.height} x {shape.width}, {shape.classes} classes"


def _costs(row: Row, args: argparse.Namespace) -> dict[str, float | int]:
    if args.price is None:
        return {}
    cost = row.update_cost(args.price, args.devices)
    return {"devices": args.devices, "price_per_mb": args.price, "update_cost": round(cost, 2)}


def _cells(rows: list[Row], args: argparse.Namespace) -> tuple[list[str], list[list[object]]]:
    headers = ["net", "weights", "dtype", "MB", "paper's figure", "ratio", "MMACs", "peak activations, kB"]
    if args.price is not None:
        headers.append(f"one update of {args.devices:,} devices at {args.price:g} per MB")
    lines = []
    for row in rows:
        counts = row.counts
        line: list[object] = [
            row.entry.name,
            counts.param_count,
            row.entry.dtype,
            f"{counts.param_bytes / MB:.2f}",
            row.entry.paper.figure,
            "-" if row.ratio is None else f"{row.ratio:.3f}",
            f"{'at least ' if counts.ops_uncounted else ''}{counts.macs / 1e6:,.0f}",
            "-" if counts.peak_activation_bytes is None else f"{counts.peak_activation_bytes / 1e3:,.0f}",
        ]
        if args.price is not None:
            line.append(f"{row.update_cost(args.price, args.devices):,.2f}")
        lines.append(line)
    return headers, lines


def _markdown(rows: list[Row], args: argparse.Namespace) -> str:
    headers, lines = _cells(rows, args)
    headers.append("why")
    text = [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|"]
    for row, line in zip(rows, lines, strict=True):
        cells = [number_text(cell) if isinstance(cell, int) else str(cell) for cell in line]
        text.append(f"| {' | '.join([*cells, row.explanation])} |")
    return "\n".join(text) + "\n"


def _with_table(file: Path, markdown: str) -> bytes:
    """The file with the table between its marks."""
    try:
        return SECTION.put(require_file(file).read_text(encoding="utf-8"), markdown).encode()
    except UnicodeDecodeError as error:
        raise LocalFileError(f"{file}: no text in UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{file}: {error}, to put the table between") from error


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return number


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number >= 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is no price")
    return number

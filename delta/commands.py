"""The `smallfleet delta` command: make, apply and describe patches. Also `python -m delta`.

Exit codes: 0 done, 1 a file could not be read or written, 2 wrong usage, and one for each class in `delta.errors`.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from delta.errors import DeltaError

_OS_ERROR_EXIT_CODE = 1
_EPILOG = "'-' as BASE means none: the patch is then packed and restores the file by itself."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the sub-commands `make`, `apply` and `info`; `run` executes what it parses."""
    codes = ", ".join(f"{error.exit_code} {error.slug}" for error in DeltaError.__subclasses__())
    parser.epilog = f"Exit codes: 0 done, {_OS_ERROR_EXIT_CODE} file error, 2 wrong usage, {codes}."
    commands = parser.add_subparsers(dest="delta_command", required=True, metavar="COMMAND")

    make = commands.add_parser("make", help="write the patch that turns BASE into NEW", epilog=_EPILOG)
    make.add_argument("base", metavar="BASE", type=_base)
    make.add_argument("new", metavar="NEW", type=Path)
    make.add_argument("patch", metavar="PATCH", type=Path)
    make.add_argument("--effort", choices=("fast", "max"), help="default: max up to 16 MB of NEW, fast above")
    make.add_argument("--json", action="store_true", help="print the report as JSON")
    make.set_defaults(delta_run=_make)

    apply = commands.add_parser("apply", help="restore OUT from BASE and PATCH", epilog=_EPILOG)
    apply.add_argument("base", metavar="BASE", type=_base)
    apply.add_argument("patch", metavar="PATCH", type=Path)
    apply.add_argument("out", metavar="OUT", type=Path)
    apply.set_defaults(delta_run=_apply)

    info = commands.add_parser("info", help="describe PATCH")
    info.add_argument("patch", metavar="PATCH", type=Path)
    info.add_argument("--json", action="store_true", help="print the description as JSON")
    info.set_defaults(delta_run=_info)


def run(args: argparse.Namespace) -> int:
    """Execute what `add_arguments` parsed; the exit code. Errors of files and patches are one line on stderr."""
    try:
        args.delta_run(args)
    except DeltaError as error:
        print(f"error: {error.slug}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
        return _OS_ERROR_EXIT_CODE
    return 0


def _base(argument: str) -> Path | None:
    return None if argument == "-" else Path(argument)


def _make(args: argparse.Namespace) -> None:
    from delta.encoder import Effort, encode

    effort = Effort(args.effort) if args.effort else None
    report = encode(args.base, args.new, args.patch, effort=effort)
    described = asdict(report) | {"ratio": report.ratio}
    summary = f"{args.patch}: {report.patch_bytes} bytes, {report.ratio:.2%} of {args.new}, effort {report.effort}"
    _print(described, summary, as_json=args.json)


def _apply(args: argparse.Namespace) -> None:
    from delta.decoder import apply

    apply(args.base, args.patch, args.out)


def _info(args: argparse.Namespace) -> None:
    from delta.decoder import read_info

    info = read_info(args.patch)
    lines = [
        f"format version {info.format_version}, {info.patch_bytes} bytes",
        f"base    {info.base or 'none (packed)'}",
        f"target  {info.target}",
        *(f"{name:<18}{count:>8} spans {info.bytes_by_method[name]:>14} bytes" for name, count in info.spans.items()),
    ]
    _print(asdict(info), "\n".join(lines), as_json=args.json)


def _print(described: dict[str, Any], summary: str, *, as_json: bool) -> None:
    print(json.dumps(described) if as_json else summary)

"""Write an offline bundle of one variant: `smallfleet agent install BUNDLE` on a device does with it what a poll would.

It holds the signed metadata, the smallest way that works from nothing, the contract and the sample set; with --base also the delta from what
the devices hold. Devices take it until the first of the signatures in it ends, which is said.
"""

import argparse
from pathlib import Path

from client.bundling import Bundle, make_bundle
from client.connection import add_connection_arguments, connect
from client.errors import ConfigError, LocalFileError
from client.output import print_json
from client.progress import terminal_progress
from client.trust.line import day


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model")
    parser.add_argument("version")
    parser.add_argument("variant")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--base", metavar="SHA256", help="what the devices hold; adds the delta from it")
    parser.add_argument(
        "--only-delta", action="store_true", help="with --base: for devices that hold the base, no others"
    )
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the bundle and say what is in it."""
    if args.only_delta and not args.base:
        raise ConfigError("--only-delta needs --base: a delta is from something")
    if not args.out.parent.is_dir():
        raise LocalFileError(f"{args.out.parent}: no such folder")
    wanted = Bundle(args.model, args.version, args.variant, base=args.base, only_delta=args.only_delta)
    with connect(args) as rest:
        written = make_bundle(rest, wanted, args.out, terminal_progress)
    entry = written.entry
    size_bytes = args.out.stat().st_size
    if args.json:
        until = written.until.isoformat()
        print_json({"file": str(args.out), "size_bytes": size_bytes, "installable_until": until, "installation": entry})
    else:
        ways = ", ".join(f"{way['way']} {way['size_bytes']:,} bytes" for way in entry["ways"])
        print(f"{args.out}: {size_bytes:,} bytes ({ways}); devices take it until {day(written.until)}")
    return 0

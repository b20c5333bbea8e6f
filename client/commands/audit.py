"""Who changed what, when and from where: list it, keep a copy of the whole chain, verify a copy without the server.

`export` adds to FILE what it does not have yet, and takes nothing that does not continue it: run it daily, on a machine that the server's
administrators do not have. `verify` reads such a copy, asks nobody, and ends with 1 where the chain breaks.
"""

import argparse
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from client.auditing import EMPTY, Head, follow, parse_head
from client.connection import add_connection_arguments, connect
from client.errors import LocalFileError
from client.output import print_json, print_table
from client.rest import RestClient

FILTERS = ("actor", "action", "subject", "since", "until")
PAGE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list records, newest first")
    listing.add_argument("--actor", help="e.g. person:anna, token:<id>, device:<id>, system")
    listing.add_argument("--action", help="e.g. publish_version")
    listing.add_argument("--subject", help="its beginning, e.g. digits")
    listing.add_argument("--since", type=_moment, help="a day or a time, e.g. 2026-11-23 or 2026-11-23T14:00")
    listing.add_argument("--until", type=_moment, help="likewise; not included")
    listing.add_argument("--limit", type=int, default=50, help="at most so many; 50, if not given")
    listing.set_defaults(act=_list)
    export = actions.add_parser("export", help="add to a file what it does not have of the chain")
    export.add_argument("file", type=Path, help="made where there is none")
    export.set_defaults(act=_export)
    head = actions.add_parser("head", help="print where the chain ends: worth keeping elsewhere")
    head.set_defaults(act=_head)
    verify = actions.add_parser("verify", help="follow the chain in a file, without a server")
    verify.add_argument("file", type=Path, help="what `audit export` wrote")
    verify.add_argument(
        "--head", type=_kept, metavar="POSITION:SHA256", help="a head kept elsewhere that must be in it"
    )
    verify.add_argument("--json", action="store_true", help="print exactly one JSON document on standard output")
    verify.set_defaults(act=_verify)
    for action in (listing, export, head):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day or a time such as 2026-11-23T14:00, got {text!r}") from None


def _kept(text: str) -> Head:
    try:
        return parse_head(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        records = list(_records(rest, {name: getattr(args, name) for name in FILTERS}, args.limit))
    if args.json:
        print_json(records)
        return 0
    rows = [[row["at"][:19] + "Z", row["actor_name"] or row["actor"], row["action"], row["subject"], row["address"], _change(row)]
            for row in records]  # fmt: skip
    print_table(("at", "who", "action", "subject", "from", "change"), rows)
    return 0


def _records(rest: RestClient, filters: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    """At most `limit` records, page by page."""
    before: int | None = None
    while limit > 0:
        page = rest.get("audit", **filters, before=before, limit=min(limit, PAGE))
        yield from page["results"]
        limit -= len(page["results"])
        before = page["next_before"]
        if before is None:
            return


def _change(row: dict[str, Any]) -> str:
    """What changed, in one line."""
    before, after = row["before"] or {}, row["after"] or {}
    names = sorted({*before, *after})
    return ", ".join(f"{name}: {_short(before.get(name))} → {_short(after.get(name))}" for name in names)


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _export(args: argparse.Namespace) -> int:
    held = EMPTY
    if args.file.exists():
        _cut_broken_line(args.file)
        held = _followed(args.file)
    end = held
    with connect(args) as rest, args.file.open("a", encoding="utf-8", newline="\n") as file:
        for line, head in follow(rest.lines("audit/export", first=held.position + 1), after=held):
            file.write(line + "\n")
            end = head
        file.flush()
        os.fsync(file.fileno())
    return _told(args, end, f"{end.position - held.position} records added to {args.file}, which has {end.position}")


def _cut_broken_line(file: Path) -> None:
    """Take away a last line without an end: an export was killed while it wrote."""
    with file.open("rb+") as copy:
        content = copy.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            copy.truncate(whole)


def _head(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        told = rest.get("audit/head")
    if args.json:
        print_json(told)
    else:
        print(Head(told["position"], told["sha256"]))
    return 0


def _verify(args: argparse.Namespace) -> int:
    end = _followed(args.file, kept=args.head)
    return _told(args, end, f"the chain holds: {end.position} records")


def _followed(file: Path, *, kept: Head | None = None) -> Head:
    """Where the chain in a file ends.

    Raises:
        AuditBroken: it does not hold.
        LocalFileError: the file cannot be read.
    """
    end = EMPTY
    try:
        with file.open(encoding="utf-8", newline="\n") as lines:
            for _, head in follow(lines, kept=kept):
                end = head
    except UnicodeDecodeError as error:
        raise LocalFileError(f"{file} is no export: {error}") from error
    return end


def _told(args: argparse.Namespace, end: Head, words: str) -> int:
    if args.json:
        print_json({"position": end.position, "sha256": end.sha256})
    else:
        print(f"{words}\nhead: {end}")
    return 0

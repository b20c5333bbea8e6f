"""Which patches devices of a model line need, what stands of each, and having them built within a budget.

`show` prints the matrix: from what devices hold, to what they may be brought to, with bytes and share of the plain file, and below it
what is missing and why. `build` has built what saves most bytes within the budget; `show` with the same options says what that would be.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import format_table, print_json, print_table

Json = dict[str, Any]
NOTHING = "nothing (packed)"
STATUS_WORDS = {"over-budget": "over budget", "not-worth-it": "not worth it"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    show = actions.add_parser("show", help="print the matrix, and what is missing and why")
    show.set_defaults(act=_show)
    build = actions.add_parser("build", help="have built what saves most bytes within the budget")
    build.set_defaults(act=_build)
    for action in (show, build):
        action.add_argument("model")
        action.add_argument(
            "--budget-mb",
            type=float,
            help="of the store, in 10^6 bytes; what the server's budget has left, if not given",
        )
        action.add_argument("--budget-s", type=float, help="of workers' seconds; likewise")
        action.add_argument(
            "--effort",
            choices=("fast", "max"),
            help="how hard to try, also again where it was made with less; by size, if not given",
        )
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _show(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        plan = rest.get(f"models/{args.model}/deltas/plan", **_wish(args))
    if args.json:
        print_json(plan)
        return 0
    if not plan["pairs"]:
        print(f"nothing is to be built for {args.model}: no version is published, and no rollout planned")
    for table in _matrix(plan, shutil.get_terminal_size().columns):
        print(f"{table}\n")
    _print_missing(plan)
    return 0


def _build(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        # Twice is harmless: what was asked for is not asked for again.
        plan = rest.post(f"models/{args.model}/deltas/plan", _wish(args), idempotent=True)
    if args.json:
        print_json(plan)
        return 0
    planned = [pair for pair in plan["pairs"] if pair["status"] == "planned"]
    print(
        f"{len(planned)} planned, about {_total(planned, 'expected_bytes'):,} bytes and {_total(planned, 'expected_s'):,.0f} s"
    )
    if planned:
        print()
        _print_missing(plan, ("planned",))
    return 0


def _wish(args: argparse.Namespace) -> Json:
    wish = {"budget_mb": args.budget_mb, "budget_s": args.budget_s, "effort": args.effort}
    return {name: value for name, value in wish.items() if value is not None}


def _total(pairs: Sequence[Json], column: str) -> float:
    return sum(pair[column] or 0 for pair in pairs)


def _matrix(plan: Json, width: int) -> Iterator[str]:
    """The matrix as one table, or several below each other where the terminal is too narrow for all targets."""
    cells = {(pair["base"], pair["target"]): pair for pair in plan["pairs"]}
    rest = list(plan["tos"])
    while rest:
        shown = len(rest)
        while shown > 1 and _width(_table(plan, rest[:shown], cells)) > width:
            shown -= 1
        yield _table(plan, rest[:shown], cells)
        rest = rest[shown:]


def _width(table: str) -> int:
    return max(len(line) for line in table.splitlines())


def _table(plan: Json, targets: Sequence[Json], cells: dict[tuple[str | None, str], Json]) -> str:
    headers = ["from \\ to", "devices", *(_name(side) for side in targets)]
    rows = [
        [_name(side), side["devices"], *(_cell(cells.get((side["sha256"], to["sha256"])), side, to) for to in targets)]
        for side in plan["froms"]
    ]
    return format_table(headers, rows)


def _cell(pair: Json | None, base: Json, target: Json) -> str:
    if base["sha256"] == target["sha256"]:
        return "="
    if pair is None:
        return ""
    if pair["status"] == "built":
        return f"{pair['size_bytes']:,} {pair['share']:.1%} {pair['effort']}".rstrip()
    return _status(pair)


def _print_missing(plan: Json, statuses: Sequence[str] = ()) -> None:
    """The pairs that have no patch, most bytes saved first."""
    names = {side["sha256"]: _name(side) for side in [*plan["froms"], *plan["tos"]]}
    missing = [
        pair for pair in plan["pairs"] if (pair["status"] in statuses if statuses else pair["status"] != "built")
    ]
    rows = [
        [
            names[pair["base"]],
            names[pair["target"]],
            _status(pair),
            pair["devices"],
            pair["expected_bytes"],
            pair["expected_s"],
            pair["saved_bytes"],
            _evidence(pair),
        ]
        for pair in sorted(missing, key=lambda pair: -pair["saved_bytes"])
    ]
    if rows:
        print_table(("from", "to", "status", "devices", "bytes, about", "s, about", "saves", "why"), rows)


def _evidence(pair: Json) -> str:
    if pair["reason"]:
        return str(pair["reason"])
    if pair["expected_alike"] is None:
        return ""
    return f"by {pair['expected_alike']} alike" if pair["expected_alike"] else "by the prior"


def _status(pair: Json) -> str:
    return STATUS_WORDS.get(pair["status"], str(pair["status"]))


def _name(side: Json) -> str:
    if side["sha256"] is None:
        return NOTHING
    return str(side["variants"][0]) if side["variants"] else str(side["sha256"])[:12]

"""The limits of a model line: show them, set them, or check the variants of a version against them.

A limit is a quantity with the bound that is required, and what is wanted beyond:

  param_and_activation_bytes=8388608          stored parameters and peak of activations, from the file
  file_size_bytes=500000                      of the ONNX file
  quality=0.95,metric=accuracy                of an evaluation; where less is better: quality,at_most=0.2,metric=top5-error
  fps=15,wanted=30                            inferences a second at batch 1, of the median device of each class
  energy_j=2                                  joules per inference, of the median device
  peak_memory_bytes=67108864                  of the worst device, the runtime included

or all of them in a TOML file:

  configuration = "canonical"
  [limits.fps]
  at_least = 15
  wanted = 30
  [limits.quality]
  metric = "top5-error"
  at_most = 0.2

`set` puts what is given in the place of everything that was set before. `check` ends with 1 where a limit is broken.
"""

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from client.connection import add_connection_arguments, connect
from client.errors import LocalFileError
from client.options import limit
from client.output import number_text, print_json, print_table

CONFIGURATIONS = ("canonical", "device-default")
BROKEN = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    show = actions.add_parser("show", help="show the limits of a model line")
    show.set_defaults(act=_show)
    setting = actions.add_parser("set", help="set all limits of a model line")
    setting.set_defaults(act=_set)
    check = actions.add_parser("check", help="check the variants of a version against the limits")
    check.set_defaults(act=_check)
    for action in (show, setting, check):
        action.add_argument("model")
        add_connection_arguments(action)
    source = setting.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", type=Path, metavar="BUDGET.toml", help="the limits as TOML")
    source.add_argument(
        "--limit",
        type=limit,
        action="append",
        metavar="QUANTITY=BOUND[,wanted=W][,metric=M][,dataset=SHA256]",
        help="one limit; may be given several times",
    )
    source.add_argument("--none", action="store_true", help="take every limit away")
    setting.add_argument(
        "--configuration", choices=CONFIGURATIONS, help="in which devices measure (default: canonical)"
    )
    check.add_argument("version")


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _show(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        budget = rest.get(f"models/{args.model}/budget")
    _print(args, budget)
    return 0


def _set(args: argparse.Namespace) -> int:
    wish = _from_file(args.file) if args.file else {"limits": dict(args.limit or ())}
    if args.configuration:
        wish["configuration"] = args.configuration
    with connect(args) as rest:
        budget, _ = rest.put(f"models/{args.model}/budget", wish)
    _print(args, budget)
    return 0


def _from_file(path: Path) -> dict[str, Any]:
    """The budget that a file says.

    Raises:
        LocalFileError: it is not there, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalFileError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LocalFileError(f"{path} cannot be read as TOML: {error}") from error


def _print(args: argparse.Namespace, budget: Mapping[str, Any]) -> None:
    if args.json:
        print_json(budget)
        return
    rows = [
        [quantity, row.get("metric"), row["at_least"], row["at_most"], row["wanted"]]
        for quantity, row in budget["limits"].items()
    ]
    if rows:
        print(f"{budget['model']}, measured in the {budget['configuration']} configuration")
        print_table(("quantity", "metric", "at least", "at most", "wanted"), rows)
    else:
        print(f"{budget['model']} has no limits; `smallfleet budget set {budget['model']} --limit fps=15` sets one")


def _check(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        checked = rest.get(f"models/{args.model}/versions/{args.version}/budget-check")
    if args.json:
        print_json(checked)
    else:
        columns = ("variant", "quantity", "verdict", "value", "bound", "wanted", "where", "devices", "why")
        rows = [_row(variant["variant"], check) for variant in checked["variants"] for check in variant["checks"]]
        if rows:
            print_table(columns, rows)
        else:
            print(
                f"nothing to check: {args.model} has no limits (`smallfleet budget set` sets them) or {args.version} no variants"
            )
    return BROKEN if any(variant["verdict"] == "fail" for variant in checked["variants"]) else 0


def _row(variant: str, check: Mapping[str, Any]) -> list[object]:
    bound = f">= {number_text(check['at_least'])}" if check["at_least"] is not None else None
    if check["at_most"] is not None:
        bound = f"<= {number_text(check['at_most'])}"
    wanted = {None: None, True: "yes", False: "no"}[check["meets_wanted"]]
    where = (check["device_class"] or "no class") if check["by_devices"] else "file"
    devices = f"{check['devices']} ({check['devices_beyond']} beyond)" if check["by_devices"] else None
    return [
        variant,
        check["quantity"],
        check["verdict"],
        check["value"],
        bound,
        wanted,
        where,
        devices,
        check["detail"],
    ]

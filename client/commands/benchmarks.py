"""What the devices measured of a model line: the median device of each class, percentiles over all inferences, how many runs count."""

import argparse
from collections.abc import Mapping
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table

NS_PER_MS = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model")
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the figures of every series, and where a graph promises what devices do not keep."""
    with connect(args) as rest:
        found = rest.get(f"models/{args.model}/benchmarks")
    if args.json:
        print_json(found)
        return 0
    columns = (
        "variant",
        "class",
        "configuration",
        "threads",
        "runtime",
        "devices",
        "p50",
        "fleet p90",
        "fleet p99",
        "J",
        "runs",
    )
    print_table(columns, [_row(series) for series in found["series"]])
    for one in found["disagreements"]:
        print(f"{one['device_class'] or 'no class'}, {one['conditions']}: {one['text']}")
    return 0


def _row(series: Mapping[str, Any]) -> list[object]:
    latency, fleet, energy = series["p50_latency_ns"], series["fleet_latency"] or {}, series["energy"]
    runs = f"{series['valid_runs']} valid, {series['semivalid_runs']} semivalid, {series['invalid_runs']} invalid"
    return [
        series["variant"] or series["sha256"][:12],
        series["device_class"],
        series["configuration"],
        series["threads"],
        series["runtime"],
        series["devices"],
        _ms(latency and latency["median"]),
        _ms(fleet.get("p90_ns")),
        _ms(fleet.get("p99_ns")),
        energy and energy["joules"]["median"],
        runs,
    ]


def _ms(nanoseconds: float | None) -> str | None:
    return None if nanoseconds is None else f"{nanoseconds / NS_PER_MS:.3f} ms"

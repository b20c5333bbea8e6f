"""The benchmark report that virtual devices send: one that the ruler once wrote, marked as what it is.

A report that were measured here for each run would have other figures, and so another length, each time; then the same seed would no
longer give the same fleet. What is in it means nothing: by the rule `simulated`, which the file breaks, it is invalid, so it
gates nothing and stands in no figure of a fleet.
"""

import json
from importlib.resources import files
from typing import Any

from client.simulate.server import Variant


def report_on(target: Variant, *, device_class: str) -> dict[str, Any]:
    """The recorded report with the target's digest and size; `run_id` is each device's own."""
    report: dict[str, Any] = json.loads((files("client.simulate") / "report.json").read_text(encoding="utf-8"))
    about_target = {"model_sha256": target.sha256, "bytes": target.size_bytes}
    return report | {
        "artifact": report["artifact"] | about_target,
        "environment": report["environment"] | {"device_class": device_class},
        "cost": report["cost"] | {"disk_bytes": target.size_bytes},
    }

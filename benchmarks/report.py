"""Building a report in which nothing is missing without saying why.

While a report is put together, a figure that could not be had is an `Absent(reason)`, never None and never 0.
`settle` turns the tree into JSON values: each Absent becomes null, and its reason goes under its JSON Pointer
(RFC 6901) into the report's `reasons`. So every null has exactly one reason, and every reason a null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

SCHEMA_ID = "bench-report/1"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Absent:
    """A figure that is not there, and why."""

    reason: str


Maybe: TypeAlias = _T | Absent


def settle(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The report as JSON values, with `reasons` filled.

    Raises:
        ValueError: a bare None stands somewhere; whoever put it there owes a reason.
    """
    reasons: dict[str, str] = {}
    report: dict[str, Any] = _settle(tree, "", reasons)
    report["reasons"] = reasons
    return report


def _settle(node: Any, pointer: str, reasons: dict[str, str]) -> Any:
    if isinstance(node, Absent):
        reasons[pointer] = node.reason
        return None
    if node is None:
        raise ValueError(f"{pointer} is None without a reason")
    if isinstance(node, Mapping):
        return {key: _settle(value, f"{pointer}/{_escape(key)}", reasons) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_settle(value, f"{pointer}/{index}", reasons) for index, value in enumerate(node)]
    # Five significant digits are more than any figure here is worth, and reports travel over links that cost money.
    return float(f"{node:.5g}") if isinstance(node, float) else node


def unsettle(report: Mapping[str, Any]) -> dict[str, Any]:
    """The tree that `settle` made the report from: every null is an Absent with its reason again."""
    tree: dict[str, Any] = _unsettle(
        {key: value for key, value in report.items() if key != "reasons"}, "", report["reasons"]
    )
    return tree


def _unsettle(node: Any, pointer: str, reasons: Mapping[str, str]) -> Any:
    if node is None:
        return Absent(reasons[pointer])
    if isinstance(node, Mapping):
        return {key: _unsettle(value, f"{pointer}/{_escape(key)}", reasons) for key, value in node.items()}
    if isinstance(node, list):
        return [_unsettle(value, f"{pointer}/{index}", reasons) for index, value in enumerate(node)]
    return node


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def null_pointers(report: Mapping[str, Any]) -> set[str]:
    """The JSON Pointers of every null outside `reasons`."""
    body = {key: value for key, value in report.items() if key != "reasons"}
    return {pointer for pointer, value in leaves(body) if value is None}


def leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no container, by its JSON Pointer. Not recursive: the tree may come from outside."""
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        pointer, node = waiting.pop()
        if isinstance(node, Mapping):
            waiting += [(f"{pointer}/{_escape(key)}", value) for key, value in node.items()]
        elif isinstance(node, list):
            waiting += [(f"{pointer}/{index}", value) for index, value in enumerate(node)]
        else:
            yield pointer, node

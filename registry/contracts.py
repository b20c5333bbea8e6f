"""Does a model keep its version's contract? Pure: two descriptions in, a list of differences out."""

from collections.abc import Mapping, Sequence
from typing import Any


def differences(contract: Mapping[str, Any], static_cost: Mapping[str, Any]) -> list[str]:
    """How the inputs and outputs of a model differ from the contract's; empty where it keeps it.

    Names and dtypes must be equal, as must ranks. A dimension that is fixed in the model must be fixed to the same size
    in the contract; one that is open in the model takes any size, so any contract. A model that does not declare a shape
    leaves it to the smoke run.
    """
    found = []
    for side in ("inputs", "outputs"):
        wanted = {port["name"]: port for port in contract[side]}
        actual = {port["name"]: port for port in static_cost[side]}
        found += [f"{side}: {name!r} is missing in the model" for name in wanted.keys() - actual.keys()]
        found += [f"{side}: the model has {name!r}, the contract has not" for name in actual.keys() - wanted.keys()]
        for name in wanted.keys() & actual.keys():
            found += [f"{side}: {name!r} {difference}" for difference in _port_differences(wanted[name], actual[name])]
    return sorted(found)


def _port_differences(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    found = []
    if wanted["dtype"] != actual["dtype"]:
        found.append(f"has dtype {actual['dtype']}, the contract says {wanted['dtype']}")
    shape = actual["shape"]
    if shape is not None and not _fits(wanted["shape"], shape):
        found.append(f"has shape {list(shape)}, the contract says {list(wanted['shape'])}")
    return found


def _fits(wanted: Sequence[int | str], actual: Sequence[int | str]) -> bool:
    return len(wanted) == len(actual) and all(
        isinstance(there, str) or here == there for here, there in zip(wanted, actual, strict=True)
    )

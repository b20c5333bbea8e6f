"""Do a model and a sample set keep their version's contract? Pure: two descriptions in, a list of differences out."""

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


def sample_differences(contract: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How the arrays of a sample set (name to dtype and shape) do not fit the contract; empty where they do.

    There has to be an array for every input and for no other, of the input's dtype. Golden outputs may be of some outputs
    only. Whether the values are right is found by the smoke run.
    """
    inputs = {port["name"]: port["dtype"] for port in contract["inputs"]}
    outputs = {port["name"] for port in contract["outputs"]}
    given = {name.removeprefix("input:"): array for name, array in arrays.items() if name.startswith("input:")}
    golden = {name.removeprefix("golden:") for name in arrays if name.startswith("golden:")}
    found = [f"there is no array input:{name}" for name in inputs.keys() - given.keys()]
    found += [f"the contract has no input {name!r}" for name in given.keys() - inputs.keys()]
    found += [f"the contract has no output {name!r}" for name in golden - outputs]
    found += [
        f"input:{name} has dtype {given[name]['dtype']}, the contract says {inputs[name]}"
        for name in given.keys() & inputs.keys()
        if given[name]["dtype"] != inputs[name]
    ]
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

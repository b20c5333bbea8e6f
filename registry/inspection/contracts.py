"""Is this file a contract? By JSON Schema `smallfleet-contract/1`; unknown keys are allowed, so that contracts may grow."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from access import strict_json
from registry.errors import ContractInvalid

SCHEMA_PATH = Path(__file__).resolve().parent.parent / "schemas" / "contract-1.json"


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))


def parse_contract(encoded: bytes) -> dict[str, Any]:
    """The contract in `encoded`.

    Raises:
        ContractInvalid: it is not UTF-8 JSON of the schema, or names a thing twice.
    """
    try:
        contract = strict_json.parse(encoded)
    except strict_json.NotStrict as error:
        raise ContractInvalid(f"this is no JSON: {error}") from error
    errors = [
        {"field": ".".join(map(str, error.absolute_path)), "message": error.message[:300]}
        for error in sorted(_validator().iter_errors(contract), key=lambda error: list(map(str, error.absolute_path)))[
            :20
        ]
    ]
    if errors:
        raise ContractInvalid(
            "the contract does not have the shape of smallfleet-contract/1; see `errors`", errors=errors
        )
    for side in ("inputs", "outputs"):
        names = [port["name"] for port in contract[side]]
        if len(set(names)) != len(names):
            raise ContractInvalid(f"a name stands twice in `{side}`: {names}")
    return dict(contract)

"""What a record may hold: values of JSON that every database gives back as they were, and no secret."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

# Secrets of this server (`access.tokens`), and private keys as PEM: also where a person pasted one into a reason or a name.
_SECRET = re.compile(
    r"\b(sf[a-z]_)[A-Za-z0-9_-]{43,}|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)"
)


def plain(value: Any) -> Any:
    """The value as it stands in a record.

    A number that is no integer becomes its text: PostgreSQL's `jsonb` writes floats in its own way, and the digest must not depend on that.

    Raises:
        TypeError: a record cannot hold such a value.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, float | Decimal | UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {without_secrets(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(inner) for inner in value)
    raise TypeError(f"an audit record holds values of JSON, not {type(value).__name__}")


def without_secrets(text: str) -> str:
    """The text with every secret of this server cut to its prefix."""
    return _SECRET.sub(lambda found: f"{found[1] or ''}(secret)", text)

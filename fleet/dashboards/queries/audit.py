"""The audit record as the page shows it: a page of records, and of each what changed, field by field."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from access.audit.models import AuditRecord
from access.audit.queries import page_of

RECORDS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Change:
    """One field; None where there is none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One record."""

    record: AuditRecord
    changes: list[Change]
    facts: list[tuple[str, str | None]]
    position: int | None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of records, and where the next begins; None on the last."""

    rows: list[Row]
    next_before: int | None


def audit_page(filters: Mapping[str, Any]) -> AuditPage:
    """The records that the filters name; `since` and `until` are days, both included."""
    wanted = dict(filters)
    since, until = wanted.pop("since", None), wanted.pop("until", None)
    found, next_before = page_of(
        RECORDS_PER_PAGE,
        since=_begin(since) if since else None,
        until=_begin(until + timedelta(days=1)) if until else None,
        **wanted,
    )
    return AuditPage([_row(record) for record in found], next_before)


def _begin(day: Any) -> datetime:
    return datetime.combine(day, time(), UTC)


def _row(record: AuditRecord) -> Row:
    facts = [(name, text_of(value)) for name, value in record.detail.items()]
    return Row(record, changes_of(record), facts, record.seal.position if hasattr(record, "seal") else None)


def changes_of(record: AuditRecord) -> list[Change]:
    """The fields of `before` and `after`, side by side, by their names."""
    before, after = record.before or {}, record.after or {}
    return [Change(name, text_of(before.get(name)), text_of(after.get(name))) for name in sorted({*before, *after})]


def text_of(value: Any) -> str | None:
    """A value for people; None for none."""
    if value is None or value in ("", [], {}):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return ", ".join(map(str, value))
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

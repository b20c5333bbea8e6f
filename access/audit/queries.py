"""Reading the audit record: newest first, cut by the id of the last one seen, so that page 1,000 costs what page 1 does."""

from datetime import datetime
from typing import TypedDict, Unpack

from django.db.models import QuerySet

from access.audit.models import AuditRecord


class Wanted(TypedDict, total=False):
    """Which records; what is left out or empty excludes none."""

    actor: str
    action: str
    subject: str
    since: datetime | None
    until: datetime | None
    before: int | None


_LOOKUPS = {
    "actor": "actor",
    "action": "action",
    "subject": "subject__startswith",
    "since": "at__gte",
    "until": "at__lt",
    "before": "pk__lt",
}


def audit_records(**wanted: Unpack[Wanted]) -> QuerySet[AuditRecord]:
    """The records, newest first, with their place in the chain.

    Args:
        wanted: `actor` and `action` are compared as a whole, `subject` by its beginning (`digits` finds `digits/1.1.0`); `since` is within,
            `until` and `before` (an id) are not.
    """
    conditions = {_LOOKUPS[name]: value for name, value in wanted.items() if value not in {None, ""}}
    return AuditRecord.objects.filter(**conditions).select_related("seal").order_by("-pk")


def page_of(limit: int, **wanted: Unpack[Wanted]) -> tuple[list[AuditRecord], int | None]:
    """At most `limit` records, and the `before` with which the next page is asked for; None on the last one."""
    found = list(audit_records(**wanted)[: limit + 1])
    return found[:limit], found[limit - 1].pk if len(found) > limit else None

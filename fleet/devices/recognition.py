"""Connecting what devices hold with artifacts that were published only later."""

from django.db import transaction
from django.db.models import Exists, OuterRef, Subquery
from django.utils import timezone

from fleet.devices.models import Installation
from registry.models import Artifact


def recognise_artifacts() -> int:
    """Fill in the artifacts of digests that the registry did not know when a device said them; returns how many installations that were."""
    recognised = 0
    for field in ("current", "previous"):
        known = Artifact.objects.filter(sha256=OuterRef(f"{field}_sha256"), kind=Artifact.Kind.MODEL)
        unlinked = Installation.objects.filter(Exists(known), **{field: None}).exclude(**{f"{field}_sha256": ""})
        with transaction.atomic():
            len(unlinked.select_for_update(of=("self",), no_key=True).order_by("pk").values_list("pk"))
            recognised += unlinked.update(**{field: Subquery(known.values("pk")[:1])}, updated_at=timezone.now())
    return recognised

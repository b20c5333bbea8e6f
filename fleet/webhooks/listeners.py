"""Hears from the registry, in the transaction of the change, what becomes an event."""

from typing import Any

from access.actors import Actor
from fleet.webhooks.models import Kind
from fleet.webhooks.outbox import announce
from registry.models import Version


def on_version_published(*, version: Version, actor: Actor, **_: Any) -> None:
    """A version can be rolled out."""
    variants = [
        {"name": name, "sha256": sha256}
        for name, sha256 in version.variants.order_by("name").values_list("name", "artifact__sha256")
    ]
    announce(Kind.VERSION_PUBLISHED, actor=actor, facts={**_named(version), "variants": variants})


def on_version_yanked(*, version: Version, actor: Actor, reason: str, **_: Any) -> None:
    """A version was withdrawn."""
    announce(Kind.VERSION_YANKED, actor=actor, facts={**_named(version), "reason": reason})


def _named(version: Version) -> dict[str, Any]:
    return {"model": version.model_line.name, "version": version.version}

"""The verbs that write signed metadata: taking a root or targets in, and renewing what the server signs itself.

Each locks the model line first, so that of two at once the second sees what the first stored, and refuses. Whatever is accepted comes with a
snapshot and a timestamp that name it in the same transaction: nobody ever fetches half of a change.
"""

import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from tuf.api.metadata import Root, Signed, Targets

from access.actors import SYSTEM, Actor
from access.audit.recording import record_audit
from access.errors import ProblemError
from access.models import Scope
from registry.errors import MetadataOutdated, NoTrust
from registry.models import Artifact, MetadataFile, ModelLine, Variant, Version
from registry.trust.keys import OnlineKeys, online_keys
from registry.trust.queries import keyids_by_role, newest_files
from registry.trust.signing import sign_snapshot, sign_timestamp
from registry.trust.verification import (
    VariantFacts,
    check_facts,
    check_online_keys,
    check_root,
    check_targets,
    is_signed_under,
    load,
)

log = logging.getLogger(__name__)
Role = MetadataFile.Role

SNAPSHOT_LIFE: Final = timedelta(days=30)
RENEWED_PER_LIFE: Final = {Role.TIMESTAMP: 7, Role.SNAPSHOT: 3}
"""A file that the server signs is signed again when one such part of its life is over: a timestamp of 7 days daily, a snapshot every 10 days."""
KEPT: Final = timedelta(hours=1)
"""How long a superseded file can still be fetched: by a client on a slow link that read the timestamp before it."""


def accept_root(*, actor: Actor, model_line: ModelLine, version: int, content: bytes) -> tuple[MetadataFile, bool]:
    """Keep a root, from which on its keys count; returns it, and whether it is new.

    Targets metadata that the new root's publishers did not sign is live no longer, until they sign it again.

    Raises:
        MetadataOutdated: another root has this version, or it does not follow the newest.
        MetadataRefused, OnlineKeysDiffer: it may not be kept.
        OnlineKeysUnusable: the server cannot sign.
    """
    actor.requires(Scope.PUBLISH, model=model_line.name)
    keys = online_keys()
    with transaction.atomic():
        line, newest = _locked(model_line)
        stored = _same(line, Role.ROOT, version, content)
        if stored is not None:
            return stored, False
        _check_next(newest.get(Role.ROOT), version)
        before = load(Root, newest[Role.ROOT].content) if Role.ROOT in newest else None
        now = timezone.now()
        root = check_root(content, version=version, model=line.name, previous=before, online=_keyids(keys), now=now)
        file = _store(newest, line, Role.ROOT, root, content)
        record_audit(
            actor=actor,
            action="accept_root",
            subject=line.name,
            before={"version": before.version, "roles": keyids_by_role(before)} if before else None,
            after={"version": version, "roles": keyids_by_role(root)},
            detail={"sha256": file.sha256, "expires_at": root.expires.isoformat()},
        )
        if before is not None and Role.TARGETS in newest:
            _follow_root(line, newest, before, root, keys)
    return file, True


def _follow_root(line: ModelLine, newest: dict[str, MetadataFile], before: Root, root: Root, keys: OnlineKeys) -> None:
    """What a new root changes for what stands below it."""
    targets = newest[Role.TARGETS].content.encode()
    signed = is_signed_under(targets, root)
    _set_live(line, load(Targets, targets.decode()).targets if signed else ())
    if any(before.roles[name] != root.roles[name] for name in (Role.TARGETS, *RENEWED_PER_LIFE)):
        _sign_snapshot(line, newest, keys)


def accept_targets(*, actor: Actor, model_line: ModelLine, version: int, content: bytes) -> tuple[MetadataFile, bool]:
    """Keep targets metadata, which says from now on what is live; returns it, and whether it is new.

    Raises:
        NoTrust: the line has no root.
        MetadataOutdated: it does not follow the newest: fetch that, build on it and sign again.
        MetadataRefused: it may not be kept.
        OnlineKeysDiffer, OnlineKeysUnusable: the server cannot sign under the newest root.
    """
    actor.requires(Scope.PUBLISH, model=model_line.name)
    keys = online_keys()
    with transaction.atomic():
        line, newest = _locked(model_line)
        root = _root(line, newest)
        stored = _same(line, Role.TARGETS, version, content)
        if stored is not None:
            return stored, False
        _check_next(newest.get(Role.TARGETS), version)
        check_online_keys(root, _keyids(keys))
        targets = check_targets(content, version=version, model=line.name, root=root, now=timezone.now())
        check_facts(targets.targets.values(), model=line.name, known=_known_facts(line, targets))
        before = _paths(line)
        file = _store(newest, line, Role.TARGETS, targets, content)
        _set_live(line, targets.targets)
        _sign_snapshot(line, newest, keys)
        line.targets_version = version
        line.save(update_fields=["targets_version"])
        record_audit(
            actor=actor,
            action="accept_targets",
            subject=line.name,
            before={"version": version - 1} if version > 1 else None,
            after={"version": version},
            detail={
                "sha256": file.sha256,
                "expires_at": targets.expires.isoformat(),
                "added": sorted(targets.targets.keys() - before),
                "removed": sorted(before - targets.targets.keys()),
            },
        )
    return file, True


def renew_metadata() -> int:
    """Sign again what of the server's own files has lived long enough, and remove what nobody can need; returns how many lines were renewed.

    A line whose root does not name this server's keys is logged and left: its owner has to sign a root.
    """
    MetadataFile.objects.filter(superseded_at__lt=timezone.now() - KEPT).exclude(role=Role.ROOT).delete()
    stale = [file.model_line for file in _online_files() if _is_due(file)]
    return sum(_renewed(line) for line in {line.pk: line for line in stale}.values())


def _online_files() -> Iterable[MetadataFile]:
    files = MetadataFile.objects.filter(superseded_at=None, role__in=RENEWED_PER_LIFE)
    return files.select_related("model_line").defer("content").order_by("model_line_id")


def _is_due(file: MetadataFile) -> bool:
    life = _life(file.role)
    return file.expires_at < timezone.now() + life - life / RENEWED_PER_LIFE[Role(file.role)]


def _renewed(model_line: ModelLine) -> bool:
    try:
        return _renew(model_line)
    except ProblemError as error:
        log.error("metadata_not_renewed", extra={"model": model_line.name, "problem": error.slug, "detail": str(error)})  # noqa: TRY400 - no defect: `detail` says it all
        return False


@transaction.atomic
def _renew(model_line: ModelLine) -> bool:
    """Sign what is due under the lock; False if another worker was faster."""
    keys = online_keys()
    line, newest = _locked(model_line)
    check_online_keys(_root(line, newest), _keyids(keys))
    if _is_due(newest[Role.SNAPSHOT]):
        _sign_snapshot(line, newest, keys)
    elif _is_due(newest[Role.TIMESTAMP]):
        _sign_timestamp(line, newest, keys)
    else:
        return False
    versions = {role.value: newest[role].version for role in RENEWED_PER_LIFE}
    record_audit(actor=SYSTEM, action="renew_metadata", subject=line.name, detail=versions)
    return True


# --- What all of them do ----------------------------------------------------------------------------------------------------------------


def _locked(model_line: ModelLine) -> tuple[ModelLine, dict[str, MetadataFile]]:
    line = ModelLine.objects.select_for_update(no_key=True).get(pk=model_line.pk)
    return line, newest_files(line)


def _root(line: ModelLine, newest: dict[str, MetadataFile]) -> Root:
    if Role.ROOT not in newest:
        raise NoTrust(f"the model line {line.name} has no root; run `smallfleet trust init`")
    return load(Root, newest[Role.ROOT].content)


def _same(line: ModelLine, role: str, version: int, content: bytes) -> MetadataFile | None:
    """The stored file, if it is this one to the byte: a repeat is harmless."""
    digest = hashlib.sha256(content).hexdigest()
    return MetadataFile.objects.filter(model_line=line, role=role, version=version, sha256=digest).first()


def _check_next(newest: MetadataFile | None, version: int) -> None:
    expected = 1 if newest is None else newest.version + 1
    if version != expected:
        raise MetadataOutdated(f"the next version is {expected}, not {version}: fetch the newest and build on it")


def _keyids(keys: OnlineKeys) -> dict[str, str]:
    return {role: str(named["keyid"]) for role, named in keys.public().items()}


def _store(
    newest: dict[str, MetadataFile], line: ModelLine, role: MetadataFile.Role, signed: Signed, content: bytes
) -> MetadataFile:
    """Let the file be the newest of its role."""
    MetadataFile.objects.filter(model_line=line, role=role, superseded_at=None).update(superseded_at=timezone.now())
    newest[role] = MetadataFile.objects.create(
        model_line=line,
        role=role,
        version=signed.version,
        content=content.decode(),
        sha256=hashlib.sha256(content).hexdigest(),
        expires_at=signed.expires,
    )
    return newest[role]


def _sign_snapshot(line: ModelLine, newest: dict[str, MetadataFile], keys: OnlineKeys) -> None:
    """The next snapshot, of the newest targets, and a timestamp of it."""
    snapshot, content = sign_snapshot(
        keys.snapshot,
        version=_next_version(newest, Role.SNAPSHOT),
        targets_version=newest[Role.TARGETS].version,
        expires_at=_end(Role.SNAPSHOT),
    )
    _store(newest, line, Role.SNAPSHOT, snapshot, content)
    _sign_timestamp(line, newest, keys)


def _sign_timestamp(line: ModelLine, newest: dict[str, MetadataFile], keys: OnlineKeys) -> None:
    timestamp, content = sign_timestamp(
        keys.timestamp,
        version=_next_version(newest, Role.TIMESTAMP),
        snapshot_version=newest[Role.SNAPSHOT].version,
        expires_at=_end(Role.TIMESTAMP),
    )
    _store(newest, line, Role.TIMESTAMP, timestamp, content)


def _next_version(newest: dict[str, MetadataFile], role: MetadataFile.Role) -> int:
    return newest[role].version + 1 if role in newest else 1


def _life(role: str) -> timedelta:
    return SNAPSHOT_LIFE if role == Role.SNAPSHOT else timedelta(seconds=settings.SMALLFLEET_TIMESTAMP_LIFE_S)


def _end(role: str) -> datetime:
    return timezone.now() + _life(role)


def _known_facts(line: ModelLine, targets: Targets) -> list[VariantFacts]:
    """The variants of the versions that are named; of a yanked version none."""
    # What cannot be printed is no version, and a NUL is more than PostgreSQL takes.
    versions = {path.partition("/")[0] for path in targets.targets if path.isprintable()}
    named = Variant.objects.filter(version__model_line=line, version__version__in=versions)
    usable = named.exclude(version__state=Version.State.YANKED)
    detailed = usable.select_related("artifact", "version__contract", "version__sample_set")
    return [_facts(variant) for variant in detailed]


def _facts(variant: Variant) -> VariantFacts:
    version = variant.version
    tolerances: dict[str, Any] = variant.tolerances
    return VariantFacts(
        version=version.version,
        variant=variant.name,
        model=_file(variant.artifact),
        contract=_file(version.contract),
        sample_set=_file(version.sample_set) if version.sample_set else None,
        tolerances={name: float(value) for name, value in tolerances.items() if value is not None},
    )


def _file(artifact: Artifact) -> tuple[str, int]:
    return artifact.sha256, artifact.size_bytes


def _paths(line: ModelLine) -> set[str]:
    live = Variant.objects.filter(version__model_line=line, is_live=True)
    return {f"{version}/{name}" for version, name in live.values_list("version__version", "name")}


def _set_live(line: ModelLine, paths: Iterable[str]) -> None:
    """Let exactly these targets be live, but none of a yanked version, which an old signature may still name.

    Neither a version (semver.org 2.0.0) nor a variant's name has a slash.
    """
    wanted = {tuple(path.split("/", 1)) for path in paths}
    there = Variant.objects.filter(version__model_line=line)
    usable = there.exclude(version__state=Version.State.YANKED).values_list("pk", "version__version", "name")
    live = {pk for pk, version, name in usable if (version, name) in wanted}
    there.filter(is_live=True).exclude(pk__in=live).update(is_live=False)
    Variant.objects.filter(pk__in=live, is_live=False).update(is_live=True)

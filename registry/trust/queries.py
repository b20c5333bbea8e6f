"""Reads of stored metadata: raw files, news for those who are behind, and the state for people."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from tuf.api.metadata import Root

from access.actors import SYSTEM, Actor
from access.errors import NotFound
from registry.errors import NoTrust
from registry.models import MetadataFile, ModelLine, Variant
from registry.queries import get_model_line
from registry.trust.verification import is_signed_under, load

Role = MetadataFile.Role


@dataclass(frozen=True, slots=True)
class News:
    """The files that somebody lacks, as their exact text; None and empty where theirs is the newest."""

    roots: list[str]
    timestamp: str | None = None
    snapshot: str | None = None
    targets: str | None = None

    def __bool__(self) -> bool:
        return bool(self.roots) or any(text is not None for text in (self.timestamp, self.snapshot, self.targets))


@dataclass(frozen=True, slots=True)
class TrustState:
    """The trust of a model line, for people.

    Attributes:
        first_root: what the first devices were given the digest of.
        live: the variants that devices may install.
        needs_signing: the newest root no longer accepts the signatures of the newest targets metadata.
    """

    model: str
    first_root: MetadataFile
    root: MetadataFile
    keys: Root
    targets: MetadataFile | None
    snapshot: MetadataFile | None
    timestamp: MetadataFile | None
    live: list[Variant]
    needs_signing: bool

    def expires_at(self) -> datetime:
        """When devices stop installing anything, if nobody renews what expires first."""
        files = (self.root, self.targets, self.snapshot, self.timestamp)
        return min(file.expires_at for file in files if file is not None)


def newest_files(model_line: ModelLine) -> dict[str, MetadataFile]:
    """The newest file of each role that there is."""
    return {file.role: file for file in MetadataFile.objects.filter(model_line=model_line, superseded_at=None)}


def get_file(model: str, role: str, version: int | None) -> MetadataFile:
    """A file by its address; without a version the newest.

    Raises:
        NotFound: there is none, or it was removed after a newer one had come.
    """
    named = MetadataFile.objects.filter(model_line__name=model, role=role)
    file = named.filter(superseded_at=None).first() if version is None else named.filter(version=version).first()
    if file is None:
        raise NotFound(f"{model} has no {role} metadata{'' if version is None else f' {version}'}")
    return file


def news_since(model: str, *, root: int, timestamp: int, snapshot: int, targets: int) -> News:
    """What somebody lacks who has these versions (0: none). One query.

    A version ahead of ours is a difference like any other: whoever asks shall see it and refuse. With a newer root comes everything, for
    under other online keys an equal number need not be an equal file.

    Raises:
        NoTrust: the line has no root.
        NotFound: there is no such line.
    """
    newest = Q(superseded_at=None) | Q(role=Role.ROOT, version__gt=root)
    files = list(MetadataFile.objects.filter(newest, model_line__name=model).order_by("version"))
    if not files:
        raise NoTrust(
            f"the model line {get_model_line(model, actor=SYSTEM).name} has no root; run `smallfleet trust init`"
        )
    roots = [file.content for file in files if file.role == Role.ROOT and file.version > root]
    known = {} if roots else {Role.TIMESTAMP: timestamp, Role.SNAPSHOT: snapshot, Role.TARGETS: targets}
    lacking = {file.role: file.content for file in files if file.version != known.get(Role(file.role))}
    return News(roots, lacking.get(Role.TIMESTAMP), lacking.get(Role.SNAPSHOT), lacking.get(Role.TARGETS))


def trust_state(model_line: ModelLine) -> TrustState | None:
    """The trust of a line; None where it has none. Two queries."""
    shown = Q(superseded_at=None) | Q(role=Role.ROOT, version=1)
    files = list(MetadataFile.objects.filter(shown, model_line=model_line))
    newest = {file.role: file for file in files if file.superseded_at is None}
    if Role.ROOT not in newest:
        return None
    keys = load(Root, newest[Role.ROOT].content)
    targets = newest.get(Role.TARGETS)
    return TrustState(
        model=model_line.name,
        first_root=next(file for file in files if (file.role, file.version) == (Role.ROOT, 1)),
        root=newest[Role.ROOT],
        keys=keys,
        targets=targets,
        snapshot=newest.get(Role.SNAPSHOT),
        timestamp=newest.get(Role.TIMESTAMP),
        live=list(live_variants(model_line)),
        needs_signing=targets is not None and not is_signed_under(targets.content.encode(), keys),
    )


def get_trust_state(model: str, *, actor: Actor) -> TrustState:
    """The trust of the line of this name.

    Raises:
        NotFound: there is no such line that the actor may see.
        NoTrust: it has no root.
    """
    state = trust_state(get_model_line(model, actor=actor))
    if state is None:
        raise NoTrust(f"the model line {model} has no root; run `smallfleet trust init`")
    return state


def live_variants(model_line: ModelLine) -> Collection[Variant]:
    """The variants that devices may install, in the order they came."""
    named = Variant.objects.filter(version__model_line=model_line, is_live=True)
    return named.select_related("artifact", "version__model_line").order_by("version_id", "id")


def newest_root_digests(models: Collection[str]) -> Mapping[str, str]:
    """By model line the sha256 of its newest root file; a line without a root is left out. One query."""
    roots = MetadataFile.objects.filter(model_line__name__in=models, role=Role.ROOT, superseded_at=None)
    return dict(roots.order_by("model_line__name").values_list("model_line__name", "sha256"))


def target_variant(model: str, version: str, sha256: str, name: str) -> Variant:
    """The variant whose file has this digest.

    Raises:
        NotFound: there is none.
    """
    named = Variant.objects.filter(version__model_line__name=model, version__version=version, name=name)
    variant = named.filter(artifact__sha256=sha256).select_related("artifact").first()
    if variant is None:
        raise NotFound(f"{model} has no target {version}/{name} with sha256 {sha256}")
    return variant


def keyids_by_role(root: Root) -> dict[str, Any]:
    """By role the threshold and the keyids, as answers and audit records show them."""
    return {name: {"threshold": role.threshold, "keyids": sorted(role.keyids)} for name, role in root.roles.items()}

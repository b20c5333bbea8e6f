"""The verbs that write: model lines, versions, variants, evaluations, publishing and yanking.

All are idempotent: the same again changes nothing and says so, something else under a taken name is a conflict. Two at once
are decided by the database's unique constraints.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from semver import Version as Semver

from access.actors import Actor
from access.audit.recording import record_audit
from access.models import Scope
from registry.budgets import Check, Evaluated, StaticFacts, Verdict, bound_text, check_static, parse_limits, value_text
from registry.contracts import differences, sample_differences
from registry.deltas.services import request_patches
from registry.documents import check_recipe, digest_of
from registry.errors import (
    ContractMismatch,
    EvaluationDiffers,
    NameTaken,
    NotSigned,
    OverBudget,
    StillSigned,
    VariantDiffers,
    VersionDiffers,
    VersionEmpty,
    VersionInvalid,
    VersionYanked,
)
from registry.inspection.checks import inspect_samples
from registry.inspection.contracts import parse_contract
from registry.models import Artifact, Budget, Evaluation, ModelLine, Variant, Version
from registry.queries import uploaded_artifact
from registry.signals import version_published, version_yanked
from registry.storage import store

TOLERANCES = ("atol", "rtol", "min_agreement")


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation as it is announced. The interval, if there is one, is 95 % and holds the value."""

    metric: str
    value: float
    sample_count: int
    dataset_sha256: str
    ci_low: float | None = None
    ci_high: float | None = None
    measured_by: str = ""


def create_model_line(
    *, actor: Actor, name: str, title: str | None = None, description: str | None = None
) -> tuple[ModelLine, bool]:
    """Create a model line; returns it, and whether it is new. What is None is not compared with what is there.

    Raises:
        NameTaken: there is one with another title or description.
    """
    actor.requires(Scope.PUBLISH, model=name)
    with transaction.atomic():
        line, created = ModelLine.objects.get_or_create(
            name=name, defaults={"title": title or "", "description": description or ""}
        )
        if created:
            after = {"title": line.title, "description": line.description}
            record_audit(actor=actor, action="create_model_line", subject=name, after=after)
    if title not in {None, line.title} or description not in {None, line.description}:
        raise NameTaken(f"the model line {name!r} exists with another title or description")
    return line, created


def create_version(
    *, actor: Actor, model_line: ModelLine, version: str, contract_sha256: str, sample_set_sha256: str | None = None
) -> tuple[Version, bool]:
    """Create a draft; returns it, and whether it is new.

    A draft without variants takes another contract and sample set, so that a publication that was refused for its
    contract can be corrected and sent again.

    Raises:
        VersionInvalid: `version` is no semantic version.
        ArtifactUnknown: the contract or sample set was not uploaded.
        ContractMismatch: the sample set is not for the contract's inputs and outputs.
        VersionDiffers: it has another contract or sample set, and variants that keep it.
    """
    actor.requires(Scope.PUBLISH, model=model_line.name)
    check_version(version)
    contract = uploaded_artifact(contract_sha256, Artifact.Kind.CONTRACT, actor=actor)
    samples = uploaded_artifact(sample_set_sha256, Artifact.Kind.SAMPLE_SET, actor=actor) if sample_set_sha256 else None
    if samples is not None:
        _check_samples(contract, samples)
    with transaction.atomic():
        row, created = Version.objects.get_or_create(
            model_line=model_line, version=version, defaults={"contract": contract, "sample_set": samples}
        )
        if created:
            record_audit(actor=actor, action="create_version", subject=str(row), after=_recorded(row))
        elif (row.contract_id, row.sample_set_id) != (contract.pk, samples.pk if samples else None):
            row = _correct_draft(actor, row.pk, contract, samples)
    return row, created


def _correct_draft(actor: Actor, pk: int, contract: Artifact, samples: Artifact | None) -> Version:
    # The lock that `add_variant` takes: no variant that keeps the old contract comes in between.
    row = Version.objects.select_for_update().get(pk=pk)
    if row.state != Version.State.DRAFT or Variant.objects.filter(version=row).exists():
        raise VersionDiffers(f"{row} exists with another contract or sample set; choose the next version")
    before = _recorded(row)
    row.contract, row.sample_set = contract, samples
    row.save(update_fields=["contract", "sample_set"])
    record_audit(actor=actor, action="correct_version", subject=str(row), before=before, after=_recorded(row))
    return row


def _recorded(row: Version) -> dict[str, Any]:
    """What the audit record shows of a draft."""
    return {
        "contract_sha256": row.contract.sha256,
        "sample_set_sha256": row.sample_set.sha256 if row.sample_set else None,
    }


def _check_samples(contract: Artifact, samples: Artifact) -> None:
    with store().as_file(samples.sha256) as path:
        described = inspect_samples(path)
    found = sample_differences(read_contract(contract), described["arrays"])
    if found:
        raise ContractMismatch(f"the sample set is not one of this contract: {'; '.join(found)[:1500]}")


def check_version(version: str) -> None:
    """Refuse what is no semantic version.

    Raises:
        VersionInvalid: it is none, or has more than 100 characters.
    """
    if len(version) > 100 or not version.isascii() or not Semver.is_valid(version):
        raise VersionInvalid(
            f"{version[:120]!r} is no semantic version; write MAJOR.MINOR.PATCH such as 1.4.0 or 2.0.0-rc.1"
        )


def add_variant(
    *,
    actor: Actor,
    version: Version,
    name: str,
    sha256: str,
    base_sha256: str | None = None,
    tolerances: Mapping[str, Any] | None = None,
    evaluations: Iterable[Measured] = (),
    recipe: Any = None,
    accept_over_budget: bool = False,
) -> tuple[Variant, bool]:
    """Add a variant, also to a published version; returns it, and whether it is new. A recipe that is None is not compared with what is there.

    Raises:
        ArtifactUnknown: the model or its base was not uploaded.
        ContractMismatch: its inputs or outputs are not those of the contract.
        RecipeInvalid: the recipe is not of its schema, or too large.
        VariantDiffers: it exists with other bytes, base, tolerances or recipe, or the bytes are there under another name.
        VersionYanked: the version takes no variants any more.
        EvaluationDiffers: an evaluation exists with another value.
        OverBudget: the version is published, the variant is new and breaks a required limit, and that was not accepted.
    """
    actor.requires(Scope.PUBLISH, model=version.model_line.name)
    artifact = uploaded_artifact(sha256, Artifact.Kind.MODEL, actor=actor)
    base = uploaded_artifact(base_sha256, Artifact.Kind.MODEL, actor=actor) if base_sha256 else None
    _check_contract(version, artifact)
    wanted = {"artifact": artifact, "base": base, "tolerances": _every_tolerance(tolerances or {})}
    if recipe is not None:
        wanted["recipe"] = check_recipe(recipe)
    with transaction.atomic():
        current = Version.objects.select_for_update().get(pk=version.pk)
        if current.state == Version.State.YANKED:
            raise VersionYanked(f"{version} was yanked and takes no variants; publish a new version")
        if current.contract_id != version.contract_id:
            _check_contract(current, artifact)  # corrected since we looked
        variant, created = _get_or_create_variant(version, name, wanted)
        if any(getattr(variant, field) != value for field, value in wanted.items()):
            raise VariantDiffers(
                f"{variant} exists with other bytes, base, tolerances or recipe; choose another name or version"
            )
        for measured in evaluations:
            add_evaluation(actor=actor, variant=variant, measured=measured)
        if created:
            after = {"sha256": sha256, "base_sha256": base_sha256, "tolerances": variant.tolerances}
            if variant.recipe is not None:
                after["recipe_sha256"] = digest_of(variant.recipe)
            record_audit(actor=actor, action="add_variant", subject=str(variant), after=after)
            if current.state == Version.State.PUBLISHED:
                _keep_budget(actor, version, [variant], accept=accept_over_budget)
                _want_first_install(variant)
    return variant, created


def _want_first_install(variant: Variant) -> None:
    """Have the packed form built before the first device asks; which deltas are worth building only the fleet knows."""
    request_patches(target=variant.artifact, bases=())


def _every_tolerance(tolerances: Mapping[str, Any]) -> dict[str, Any]:
    """All of them, None where none is set: left out and null are the same wish."""
    return {name: tolerances.get(name) for name in TOLERANCES}


def _get_or_create_variant(version: Version, name: str, wanted: Mapping[str, Any]) -> tuple[Variant, bool]:
    try:
        with transaction.atomic():
            return Variant.objects.get_or_create(version=version, name=name, defaults=wanted)
    except IntegrityError as error:
        taken = Variant.objects.filter(version=version, artifact=wanted["artifact"]).first()
        if taken is None:
            raise
        raise VariantDiffers(f"these bytes are already the variant {taken.name!r} of {version}") from error


def _check_contract(version: Version, artifact: Artifact) -> None:
    contract = read_contract(version.contract)
    found = differences(contract, artifact.static_cost or {"inputs": [], "outputs": []})
    if found:
        raise ContractMismatch(f"the model does not keep the contract of {version}: {'; '.join(found)[:1500]}")


def read_contract(artifact: Artifact) -> dict[str, Any]:
    """The contract that an artifact holds, from the store; at most 64 kB."""
    file = store().open(artifact.sha256)
    try:
        return parse_contract(file.read())
    finally:
        file.close()


def add_evaluation(*, actor: Actor, variant: Variant, measured: Measured) -> tuple[Evaluation, bool]:
    """Add what was measured of a variant; returns it, and whether it is new.

    Raises:
        EvaluationDiffers: the same metric of the same data set by the same party has another value.
    """
    actor.requires(Scope.PUBLISH, model=variant.version.model_line.name)
    key = {"metric": measured.metric, "dataset_sha256": measured.dataset_sha256, "measured_by": measured.measured_by}
    values = {
        "value": measured.value,
        "sample_count": measured.sample_count,
        "ci_low": measured.ci_low,
        "ci_high": measured.ci_high,
    }
    with transaction.atomic():
        evaluation, created = Evaluation.objects.get_or_create(variant=variant, **key, defaults=values)
        if created:
            record_audit(actor=actor, action="add_evaluation", subject=str(variant), after={**key, **values})
    if any(getattr(evaluation, field) != value for field, value in values.items()):
        raise EvaluationDiffers(
            f"{variant} has {measured.metric}={evaluation.value} on this data set by {measured.measured_by or 'nobody named'}"
        )
    return evaluation, created


def set_budget(
    *, actor: Actor, model_line: ModelLine, limits: Mapping[str, Mapping[str, Any]], configuration: str
) -> Budget:
    """Put these limits in the place of those that a model line has; the same again changes nothing.

    What is published stays so; where it breaks the new limits that is shown.
    """
    actor.requires(Scope.ADMINISTER)
    wanted = {"limits": {name: dict(limit) for name, limit in limits.items()}, "configuration": configuration}
    with transaction.atomic():
        budget, created = Budget.objects.select_for_update().get_or_create(model_line=model_line, defaults=wanted)
        before = {name: getattr(budget, name) for name in wanted}
        if created or before != wanted:
            budget.limits, budget.configuration = wanted["limits"], configuration
            budget.save(update_fields=["limits", "configuration", "changed_at"])
            was = None if created else before
            record_audit(actor=actor, action="set_budget", subject=model_line.name, before=was, after=wanted)
    return budget


def static_facts(variant: Variant) -> StaticFacts:
    """What a budget is checked against before any device has run the variant."""
    evaluations = [
        Evaluated(one.metric, one.value, one.sample_count, one.dataset_sha256) for one in variant.evaluations.all()
    ]
    return StaticFacts(variant.artifact.size_bytes, variant.artifact.static_cost, evaluations)


def _keep_budget(actor: Actor, version: Version, variants: Iterable[Variant], *, accept: bool) -> None:
    """Let variants become available only within the required limits, or with somebody's name in the audit record.

    What is unknown is no reason: an evaluation may come later, and then the page shows it.

    Raises:
        OverBudget: one breaks a limit, and that was not accepted.
    """
    budget = Budget.objects.filter(model_line=version.model_line_id).first()
    if budget is None:
        return
    limits = parse_limits(budget.limits)
    broken = [
        {"field": f"{variant.name}.{check.limit.quantity}", "message": _broken_text(check)}
        for variant in variants
        for check in check_static(limits, static_facts(variant))
        if check.verdict is Verdict.FAIL
    ]
    if broken and not accept:
        raise OverBudget(
            f"{version} would break its budget; accept_over_budget publishes it all the same", errors=broken
        )
    if broken:
        record_audit(actor=actor, action="accept_over_budget", subject=str(version), detail={"broken": broken})


def _broken_text(check: Check) -> str:
    return f"{value_text(check.limit, check.value)}; {bound_text(check.limit)}"


def publish_version(*, actor: Actor, version: Version, accept_over_budget: bool = False) -> Version:
    """Make a draft available to rollouts, and have its first installs packed; a published one stays as it is.

    Raises:
        VersionEmpty: it has no variant.
        NotSigned: it is a draft, and the signed targets metadata names none of its variants.
        VersionYanked: it was yanked, which is for good.
        OverBudget: a variant breaks a required limit, and that was not accepted.
    """
    actor.requires(Scope.PUBLISH, model=version.model_line.name)
    with transaction.atomic():
        _lock_line(version)
        # The lock that `add_variant` takes: no variant comes in between the check and the publication.
        current = Version.objects.select_for_update().get(pk=version.pk)
        variants = list(
            Variant.objects.filter(version=version).select_related("artifact").prefetch_related("evaluations")
        )
        if not variants:
            raise VersionEmpty(f"{version} has no variant; add one before publishing")
        if current.state == Version.State.DRAFT:
            if not any(variant.is_live for variant in variants):
                raise NotSigned(
                    f"no variant of {version} is in the signed targets metadata of {version.model_line.name}; sign it first"
                )
            _keep_budget(actor, version, variants, accept=accept_over_budget)
            current.state, current.published_at = Version.State.PUBLISHED, timezone.now()
            current.save(update_fields=["state", "published_at"])
            record_audit(
                actor=actor,
                action="publish_version",
                subject=str(version),
                before={"state": Version.State.DRAFT},
                after={"state": current.state},
                detail={"variants": {variant.name: variant.artifact.sha256 for variant in variants}},
            )
            version_published.send(sender=Version, version=current, actor=actor)
            for variant in variants:
                _want_first_install(variant)
        version.refresh_from_db()
    if version.state == Version.State.YANKED:
        raise VersionYanked(f"{version} was yanked ({version.yank_reason}); publish a new version")
    return version


def yank_version(*, actor: Actor, version: Version, reason: str) -> Version:
    """Withdraw a version from new rollouts, for good. Yanking it again keeps the first reason.

    Raises:
        StillSigned: devices may still install a variant of it: its publisher signs it out first.
    """
    actor.requires(Scope.PUBLISH, model=version.model_line.name)
    with transaction.atomic():
        _lock_line(version)
        live = Variant.objects.filter(version=version, is_live=True).order_by("name").values_list("name", flat=True)
        if live:
            raise StillSigned(
                f"{version} is signed as {', '.join(live)}; sign targets metadata without it, then yank it"
            )
        standing = Version.objects.filter(pk=version.pk).exclude(state=Version.State.YANKED)
        before = {"state": standing.values_list("state", flat=True).first()}
        if standing.update(state=Version.State.YANKED, yanked_at=timezone.now(), yank_reason=reason):
            after, detail = {"state": Version.State.YANKED}, {"reason": reason}
            record_audit(
                actor=actor, action="yank_version", subject=str(version), before=before, after=after, detail=detail
            )
            version_yanked.send(sender=Version, version=version, actor=actor, reason=reason)
        version.refresh_from_db()
    return version


def _lock_line(version: Version) -> None:
    """The lock that `registry.trust` takes, before every other: what is signed does not change until this transaction ends."""
    ModelLine.objects.select_for_update(no_key=True).get(pk=version.model_line_id)

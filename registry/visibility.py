"""Which model lines an actor may see: those that any of their grants is for. A grant that is restricted to a group sees the whole line.

What is not visible is not found: whoever may not see a line does not learn that it is there.
"""

from django.db.models import Q, QuerySet

from access.actors import Actor
from access.errors import NotFound
from access.grants import SOME
from access.models import Scope
from registry.models import Artifact, ModelLine, Patch, Variant, Version


def line_names(actor: Actor, scope: Scope = Scope.READ) -> frozenset[str] | None:
    """The names of the lines for which the actor has the scope; None is every line."""
    names = {permit.model_line for permit in actor.permits_for(scope)}
    return None if None in names else frozenset(name for name in names if name is not None)


def line_condition(actor: Actor, line: str = "", scope: Scope = Scope.READ) -> Q:
    """The condition that a line is visible; `line` is how the filtered model reaches it, empty for lines themselves."""
    names = line_names(actor, scope)
    return Q() if names is None else Q(**{f"{line}__name__in" if line else "name__in": names})


def check_sees_line(actor: Actor, model: str) -> None:
    """Let pass whoever may see the line of this name, if there is one; no query.

    Raises:
        NotFound: the actor may not, in the words of there being none.
    """
    if not actor.allows(Scope.READ, model=model, group=SOME):
        raise NotFound(f"there is no model line {model!r}")


def visible_lines(actor: Actor, scope: Scope = Scope.READ) -> QuerySet[ModelLine]:
    """The model lines for which the actor has the scope."""
    return ModelLine.objects.filter(line_condition(actor, scope=scope))


def visible_artifacts(actor: Actor) -> QuerySet[Artifact]:
    """What belongs to a visible line: models, contracts, sample sets, and patches to its models."""
    names = line_names(actor)
    if names is None:
        return Artifact.objects.all()
    variants = Variant.objects.filter(version__model_line__name__in=names)
    versions = Version.objects.filter(model_line__name__in=names)
    models = variants.values("artifact")
    return Artifact.objects.filter(
        Q(pk__in=models)
        | Q(pk__in=variants.filter(base__isnull=False).values("base"))
        | Q(pk__in=versions.values("contract"))
        | Q(pk__in=versions.filter(sample_set__isnull=False).values("sample_set"))
        | Q(pk__in=Patch.objects.filter(target__in=models, artifact__isnull=False).values("artifact"))
    )


def sees_artifact(actor: Actor, artifact: Artifact) -> bool:
    """Whether the actor may read its bytes; no query for those who see every line."""
    return line_names(actor) is None or visible_artifacts(actor).filter(pk=artifact.pk).exists()

"""Background jobs. Each may run twice or be lost: the claim in `building` and `services.resume_builds` make both harmless."""

from django_tasks import task

from registry.deltas import building
from registry.models import Patch


@task()
def build_patch(patch_id: int) -> None:
    """Build one patch; after a failure that is not the last, once more behind whatever else waits."""
    patch = building.build_patch(patch_id=patch_id)
    if patch is not None and (patch.state == Patch.State.WANTED or Patch.objects.filter(building.REMADE, pk=patch_id)):
        build_patch.enqueue(patch_id=patch_id)

"""The rollouts in Django's admin, read-only."""

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from fleet.rollouts.models import Attempt, CohortMember, Event, Rollout


@admin.register(Rollout)
class RolloutAdmin(ReadOnlyAdmin):
    """Plans."""

    list_display = ["target", "group", "state", "created_at", "closed_at"]
    list_select_related = ["target__version__model_line", "group"]


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Tries."""

    list_display = ["id", "installation", "target", "state", "way", "opened_at", "closed_at"]
    list_select_related = ["installation", "target"]


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Facts."""

    list_display = ["attempt", "seq", "kind", "at", "received_at"]


@admin.register(CohortMember)
class CohortMemberAdmin(ReadOnlyAdmin):
    """Whom a rollout reached, and how that ended."""

    list_display = ["rollout", "installation", "outcome"]
    list_select_related = ["rollout__target__version__model_line", "installation"]

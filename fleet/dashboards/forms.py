"""The forms that are more than a button."""

from typing import Any

from django import forms

from fleet.devices.models import Group
from registry.deltas.formats import EFFORTS
from registry.models import Variant, Version


class RolloutForm(forms.Form):
    """What to bring where."""

    WAIT_S = 600

    variant = forms.ModelChoiceField(
        Variant.objects.filter(version__state=Version.State.PUBLISHED)
        .select_related("version__model_line")
        .order_by("version__model_line__name", "-version_id", "id"),
        label="Variant",
        empty_label="Choose a published variant",
    )
    group = forms.ModelChoiceField(
        Group.objects.all(), label="Group", required=False, empty_label="Every device that names the model line"
    )
    wait_for_delta_s = forms.IntegerField(
        label="Wait for a delta at most, seconds",
        min_value=0,
        max_value=7 * 86_400,
        help_text="So long an agent may wait for a patch that is still being built, before it takes a dearer way.",
    )


class PatchBudgetForm(forms.Form):
    """What patches may take, and how hard the encoder shall try."""

    budget_mb = forms.FloatField(label="Store, MB", required=False, min_value=0, max_value=1e9)
    budget_s = forms.FloatField(label="Workers, seconds", required=False, min_value=0, max_value=1e9)
    effort = forms.ChoiceField(
        label="Effort", required=False, choices=[("", "by size"), *((effort, effort) for effort in EFFORTS)]
    )

    def wanted(self) -> dict[str, Any]:
        """The valid wish, as the service's arguments."""
        megabytes = self.cleaned_data["budget_mb"]
        return {
            "storage_bytes": None if megabytes is None else megabytes * 1e6,
            "build_s": self.cleaned_data["budget_s"],
            "effort": self.cleaned_data["effort"],
        }

"""The one form that is more than a button."""

from django import forms

from fleet.devices.models import Group
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

"""Whoever had a role has a grant of it for everything."""

from django.db import migrations


def fill(apps, schema_editor):
    """One grant for each membership; one that is there already stays, so that this may be run again."""
    membership, grant = apps.get_model("access", "Membership"), apps.get_model("access", "Grant")
    for user_id, role in membership.objects.order_by("pk").values_list("user_id", "role").iterator():
        grant.objects.get_or_create(user_id=user_id, role=role, model_line="", group="", source="people")


class Migration(migrations.Migration):
    dependencies = [("access", "0003_grants_by_model_line_and_group")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]

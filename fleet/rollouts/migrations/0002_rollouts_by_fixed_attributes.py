"""A rollout of a group's operator reaches the devices that were put into the group, and none that only says so."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0001_initial")]

    operations = [
        migrations.AddField(
            "rollout",
            "by_fixed_attributes",
            models.BooleanField(default=False, help_text="who is in the group is asked of fixed attributes alone, not of what devices say"),
        )
    ]

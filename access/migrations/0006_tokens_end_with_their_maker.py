"""A token knows the token that it was made with, and ends with it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("access", "0005_grants_are_unique_and_memberships_go")]

    operations = [
        migrations.AddField(
            "apitoken",
            "made_with",
            models.ForeignKey(
                blank=True,
                help_text="the token that asked for it, and with which it ends; empty: a person made it",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="made",
                to="access.apitoken",
            ),
        ),
    ]

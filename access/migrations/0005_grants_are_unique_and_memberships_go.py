"""Grants are what counts: each once, an admin of everything, a publisher of every group."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("access", "0004_fill_grants_from_memberships")]

    operations = [
        migrations.AddConstraint(
            "grant",
            models.UniqueConstraint(fields=("user", "role", "model_line", "group", "source"), name="grant_unique"),
        ),
        migrations.AddConstraint(
            "grant",
            models.CheckConstraint(
                condition=models.Q(("role__in", ["viewer", "publisher", "operator", "admin"])), name="grant_role_known"
            ),
        ),
        migrations.AddConstraint(
            "grant",
            models.CheckConstraint(
                condition=models.Q(models.Q(("role", "admin"), _negated=True), models.Q(("group", ""), ("model_line", "")), _connector="OR"),
                name="grant_admin_of_everything",
            ),
        ),
        migrations.AddConstraint(
            "grant",
            models.CheckConstraint(
                condition=models.Q(models.Q(("role", "publisher"), _negated=True), ("group", ""), _connector="OR"),
                name="grant_publisher_of_no_group",
            ),
        ),
        migrations.DeleteModel("Membership"),
    ]

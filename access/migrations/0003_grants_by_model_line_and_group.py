"""People have grants in place of one role, tokens may be narrowed, and identity providers know people by a subject."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

ROLES = [("viewer", "Viewer"), ("publisher", "Publisher"), ("operator", "Operator"), ("admin", "Admin")]


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("access", "0002_audit_is_append_only_and_chained"),
    ]

    operations = [
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("role", models.CharField(choices=ROLES, max_length=16)),
                ("model_line", models.CharField(blank=True, help_text="empty: every model line", max_length=64)),
                ("group", models.CharField(blank=True, help_text="empty: every device", max_length=64)),
                ("source", models.CharField(choices=[("people", "given by an admin"), ("provider", "follows the identity provider's claim at each login")], default="people", max_length=16)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="grants", to=settings.AUTH_USER_MODEL)),
            ],
            options={"ordering": ["role", "model_line", "group", "id"]},
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("issuer", models.CharField(max_length=300)),
                ("subject", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="identities", to=settings.AUTH_USER_MODEL)),
            ],
            options={"verbose_name_plural": "identities"},
        ),
        migrations.AddConstraint("identity", models.UniqueConstraint(fields=("issuer", "subject"), name="identity_unique")),
        migrations.AddField("apitoken", "groups", models.JSONField(default=list, help_text="only these; empty: all that the owner's grants are for")),
        migrations.AddField("apitoken", "model_lines", models.JSONField(default=list, help_text="only these; empty: all that the owner's grants are for")),
        migrations.AlterField("apitoken", "scopes", models.JSONField(help_text="a list of scopes; never more than the owner's grants allow")),
    ]

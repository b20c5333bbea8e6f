"""Explorations of a model line's design space."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_variants_have_recipes")]

    operations = [
        migrations.CreateModel(
            name="Study",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64, validators=[django.core.validators.RegexValidator("^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$", "1 to 64 of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit")])),
                ("document", models.JSONField(help_text="by `smallfleet-study/1`")),
                ("point_count", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                ("changed_by", models.CharField(help_text="`person:<username>` or `token:<id>`", max_length=200)),
                ("model_line", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="studies", to="registry.modelline")),
            ],
            options={
                "verbose_name_plural": "studies",
                "ordering": ["model_line", "name"],
                "constraints": [models.UniqueConstraint(fields=("model_line", "name"), name="study_unique_in_line")],
            },
        ),
    ]

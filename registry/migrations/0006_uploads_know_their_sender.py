"""A publisher of some lines refers to bytes of others only after sending them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_metadata_files_and_live_variants")]

    operations = [
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("actor", models.CharField(help_text="`person:<username>` or `token:<id>`", max_length=200)),
                ("uploaded_at", models.DateTimeField(auto_now_add=True)),
                ("artifact", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="uploads", to="registry.artifact")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("artifact", "actor"), name="upload_unique")]},
        ),
    ]

"""How a variant was made is stored with it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_uploads_know_their_sender")]

    operations = [
        migrations.AddField(
            model_name="variant",
            name="recipe",
            field=models.JSONField(blank=True, help_text="how it was made, by `smallfleet-recipe/1`; null where nobody said", null=True),
        ),
    ]

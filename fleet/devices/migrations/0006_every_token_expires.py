"""Enforce: no token without an end."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0005_tokens_without_an_end_end_tomorrow")]

    operations = [
        migrations.AlterField(model_name="enrollmenttoken", name="expires_at", field=models.DateTimeField()),
    ]

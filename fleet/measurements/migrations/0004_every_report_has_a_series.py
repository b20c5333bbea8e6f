import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("measurements", "0003_fill_series")]

    operations = [
        migrations.AlterField(
            model_name="benchmarkreport",
            name="series",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reports",
                to="measurements.benchmarkseries",
            ),
        ),
    ]

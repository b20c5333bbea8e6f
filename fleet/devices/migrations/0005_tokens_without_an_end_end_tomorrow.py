"""Fill: a token that never ended ends a day after this runs."""

from datetime import timedelta

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone


def end_tomorrow(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Restartable: what has an end keeps it."""
    tokens = apps.get_model("devices", "EnrollmentToken").objects
    tokens.filter(expires_at=None).update(expires_at=timezone.now() + timedelta(days=1))


class Migration(migrations.Migration):
    dependencies = [("devices", "0004_devices_enroll_by_serial_approval_and_certificate")]

    operations = [migrations.RunPython(end_tomorrow, migrations.RunPython.noop)]

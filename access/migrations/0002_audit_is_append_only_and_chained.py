"""Records say what was before and after and from where, nobody can change or delete one, and each has its place in a chain.

SQLite drops a table's triggers when Django makes the table anew for another migration: that one puts them back (`ADD`).
"""

import django.db.models.deletion
from django.db import migrations, models

TABLES = ("access_auditrecord", "access_auditseal")

_REFUSE_ON_POSTGRESQL = """
CREATE OR REPLACE FUNCTION access_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit record is append-only' USING ERRCODE = 'restrict_violation';
END $$
"""

ADD = {
    "postgresql": [
        _REFUSE_ON_POSTGRESQL,
        *(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION access_append_only()"
            for table in TABLES
        ),
    ],
    "sqlite": [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
        " BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END"
        for table in TABLES
        for verb in ("UPDATE", "DELETE")
    ],
}
REMOVE = {
    "postgresql": [f"DROP TRIGGER IF EXISTS append_only ON {table}" for table in TABLES],
    "sqlite": [f"DROP TRIGGER IF EXISTS {table}_no_{verb}" for table in TABLES for verb in ("update", "delete")],
}


def add(apps, schema_editor):
    """Let the database refuse what changes a record or a seal."""
    for statement in ADD[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def remove(apps, schema_editor):
    """Let the database take it again."""
    for statement in REMOVE[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial")]

    operations = [
        migrations.AddField("auditrecord", "actor_name", models.CharField(blank=True, default="", help_text="for people to read", max_length=300)),
        migrations.AddField("auditrecord", "address", models.CharField(blank=True, default="", help_text="of the client; empty for jobs and commands", max_length=45)),
        migrations.AddField("auditrecord", "after", models.JSONField(help_text="the same fields as they are now; null for what is gone", null=True)),
        migrations.AddField("auditrecord", "before", models.JSONField(help_text="what was changed, as it was; null for what is new", null=True)),
        migrations.AddField("auditrecord", "request_id", models.CharField(blank=True, default="", max_length=64)),
        migrations.AlterField("auditrecord", "action", models.CharField(help_text="verb and noun, e.g. `publish_version`", max_length=60)),
        migrations.AlterField("auditrecord", "detail", models.JSONField(default=dict, help_text="what else there is to say, e.g. a reason")),
        migrations.AddIndex("auditrecord", models.Index(fields=["actor", "-id"], name="audit_by_actor")),
        migrations.AddIndex("auditrecord", models.Index(fields=["action", "-id"], name="audit_by_action")),
        migrations.AddIndex("auditrecord", models.Index(fields=["subject", "-id"], name="audit_by_subject")),
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("position", models.PositiveBigIntegerField(help_text="1, 2, 3, …, without a gap", primary_key=True, serialize=False)),
                ("record", models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name="seal", to="access.auditrecord")),
                ("previous_sha256", models.CharField(help_text="of the position before; 64 zeros at the first", max_length=64)),
                ("sha256", models.CharField(help_text="over position, previous digest and record", max_length=64)),
            ],
            options={"ordering": ["position"]},
        ),
        migrations.RunPython(add, remove),
    ]

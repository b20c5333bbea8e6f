"""The wire of the audit record: admins read it, and nobody writes it."""

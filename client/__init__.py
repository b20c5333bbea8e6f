"""The `smallfleet` command and the REST client behind it."""

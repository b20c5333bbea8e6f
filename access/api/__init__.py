"""The wire of access."""

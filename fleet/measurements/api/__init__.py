"""The wire of this app."""

"""The wire of trust."""

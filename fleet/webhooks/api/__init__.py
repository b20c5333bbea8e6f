"""The wire of webhooks: admins only."""

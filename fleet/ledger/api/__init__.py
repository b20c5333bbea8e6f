"""The wire of ledger."""

"""The wire of the ledger: forecasts and what was spent."""

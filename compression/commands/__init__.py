"""The commands of this package: `smallfleet compress` and its like."""

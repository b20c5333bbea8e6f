"""Rollouts, attempts and events."""

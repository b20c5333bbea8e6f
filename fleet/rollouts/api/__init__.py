"""The wire of rollouts."""

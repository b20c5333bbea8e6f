"""The wire of rollouts: what people do with them, polls, and events."""

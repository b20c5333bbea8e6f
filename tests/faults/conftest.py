"""The same stand-in server and enrolled device as the agent's tests have."""

from tests.agent.conftest import device, server

__all__ = ["device", "server"]

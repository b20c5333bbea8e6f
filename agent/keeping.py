"""What keeps a device's state and its messages, as far as the cycle needs to know: the state directory, or a simulation's memory."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.http import Client
from agent.state import State


class Keeper(Protocol):
    """The state, and every change of it together with its events: `agent.store.Store` is one."""

    state: State

    def commit(self, new: State, events: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make a change and its events durable, both or neither.

        Raises:
            OSError: the disk refused.
        """


class Messages(Protocol):
    """Events and reports until the server has them: `agent.outbox.Outbox` is one."""

    def put_report(self, report: Mapping[str, Any]) -> None:
        """Keep a benchmark report in its wire form."""

    def send(self, client: Client) -> None:
        """Send what waits.

        Raises:
            ServerUnavailable, RequestRefused: what was not answered for stays.
        """

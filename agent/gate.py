"""Asking the owner's rules, at the moment when something is to be done: pure rules, and the looking that they ask for."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

from agent.conditions import Conditions, Observer
from agent.config import Policy
from agent.download import Paused
from agent.policy import Activity, LookAt, Refused, grant_bytes, permit
from agent.spending import Spending

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Gate:
    """The rules of one policy on this machine."""

    policy: Policy
    observer: Observer
    spending: Spending

    def resolve(self, decided: Callable[[Conditions], T], *, needs_bytes: Callable[[], int]) -> T:
        """Decide, look at what the decision asks for, decide again, until the answer is no `LookAt` any more."""
        seen = Conditions()
        while isinstance(answer := decided(seen), LookAt):
            seen = self.observer.look(seen, answer.looks, needs_bytes=needs_bytes)
        return answer

    def refusal(self, activity: Activity, *, needs_bytes: int = 0) -> Refused | None:
        """The rule that holds an activity back now, if any does."""
        answer = self.resolve(lambda seen: permit(activity, self.policy, seen), needs_bytes=lambda: needs_bytes)
        return answer if isinstance(answer, Refused) else None

    def grant(self, wanted_bytes: int) -> int:
        """How much of a download may be asked for in one request; under a budget it is charged before it is asked for.

        Raises:
            Paused: nothing of it, by this rule.
        """

        def judged(seen: Conditions) -> LookAt | Refused | int:
            return permit(Activity.DOWNLOAD, self.policy, seen) or grant_bytes(self.policy, seen, wanted_bytes)

        self.spending.count(metered=self._is_metered())
        answer = self.resolve(judged, needs_bytes=lambda: wanted_bytes)
        if isinstance(answer, Refused):
            raise Paused(answer)
        granted_bytes = cast(int, answer)
        if self.policy.mb_per_day is not None or self.policy.metered_mb_per_day is not None:
            self.spending.charge(granted_bytes, metered=self._is_metered())
        return granted_bytes

    def settle(self) -> None:
        """Write down what a transfer cost indeed.

        A disk that refuses that is no failure of the transfer: under a budget, what is charged stays charged.
        """
        with self._disk_may_refuse():
            self.spending.correct(metered=self._is_metered())

    def count(self) -> None:
        """Take in what polls and reports cost. A disk that refuses to note it does not keep the device from polling."""
        with self._disk_may_refuse():
            self.spending.count(metered=self._is_metered())

    @contextmanager
    def _disk_may_refuse(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.warning("day_not_written", extra={"why": str(error)})

    def _is_metered(self) -> bool:
        """Asked where a budget needs it, and else not looked at."""
        return self.policy.metered_mb_per_day is not None and self.observer.is_metered()

"""The rules of a rollout as values: its states, who may follow whom, and when it is complete. Touches no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fleet.errors import RolloutState
from fleet.rollouts.models import Attempt, Rollout

State = Rollout.State


class Verb(StrEnum):
    """What is done to a rollout."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    ABORT = "abort"


TRANSITIONS: Mapping[tuple[State, Verb], State] = MappingProxyType(
    {
        (State.DRAFT, Verb.START): State.RUNNING,
        (State.RUNNING, Verb.PAUSE): State.PAUSED,
        (State.PAUSED, Verb.RESUME): State.RUNNING,
        (State.RUNNING, Verb.FINISH): State.FINISHED,
        (State.DRAFT, Verb.ABORT): State.ABORTED,
        (State.RUNNING, Verb.ABORT): State.ABORTED,
        (State.PAUSED, Verb.ABORT): State.ABORTED,
    }
)
# In these the rollout holds its installations: no other may take them.
LIVE = frozenset({State.RUNNING, State.PAUSED})

# What a final event makes of its attempt.
FINAL_STATES: Mapping[str, Attempt.State] = MappingProxyType(
    {
        "activated": Attempt.State.SUCCEEDED,
        "rolled_back": Attempt.State.ROLLED_BACK,
        "failed": Attempt.State.FAILED,
    }
)


def next_state(state: str, verb: Verb) -> State:
    """The state after `verb`.

    Raises:
        RolloutState: the verb cannot be done in this state.
    """
    after = TRANSITIONS.get((State(state), verb))
    if after is None:
        possible = sorted(other.value for at, other in TRANSITIONS if at == state and other is not Verb.FINISH)
        raise RolloutState(f"a {state} rollout cannot {verb}; it can {' or '.join(possible) or 'do nothing any more'}")
    return after


@dataclass(frozen=True, slots=True)
class Progress:
    """How many installations of a rollout's cohort stand where.

    Attributes:
        pending: not closed yet.
        there: held the target when the rollout reached them; no byte was needed.
        succeeded, failed, rolled_back: by their latest closed attempt.
    """

    pending: int = 0
    there: int = 0
    succeeded: int = 0
    failed: int = 0
    rolled_back: int = 0

    @property
    def total(self) -> int:
        """The cohort."""
        return self.pending + self.there + self.succeeded + self.failed + self.rolled_back

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.pending == 0

"""Many virtual devices in virtual time: whose turn it is, and how far the fleet has come.

Devices meet only in the server. So the turns of one short span of virtual time are taken at the same time by a pool of threads:
as real devices would, they reach the server in whatever order. What a device does depends on its own seed, its own clock and the
server's answers to it; which devices take a turn together depends on virtual time alone. Hence the same seed gives the same summary as
long as the server answers each device without regard to the others, as it does in a rollout to all of a group at once.
"""

import heapq
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from client.simulate.clock import VirtualClock
from client.simulate.device import VirtualAgent

# The turns of so much virtual time are taken together, as long as there are not too many of them.
SPAN_S = 1.0
TURNS_AT_ONCE = 512
WATCH_EVERY_S = 5.0


@dataclass(slots=True)
class Member:
    """A device in its fleet. `due_s` is its next turn, None when it needs no more."""

    index: int
    link: str
    device: VirtualAgent
    clock: VirtualClock
    due_s: float | None
    updated_s: float | None = None
    cycles: int = 0
    troubled_cycles: int = 0


@dataclass(slots=True)
class Simulation:
    """One run.

    Attributes:
        target: digest of the model that devices are brought to; reaching it is what is timed.
        until_s: virtual seconds after which no turn begins.
        keep_polling: go on with devices that have nothing left to do, for as long as the time lasts.
        speed: virtual seconds in one real second at most; None as fast as the server answers.
    """

    members: Sequence[Member]
    target: str
    until_s: float
    connections: int
    keep_polling: bool = False
    speed: float | None = None
    behind_s: float = 0.0
    virtual_s: float = 0.0
    _heap: list[tuple[float, int]] = field(default_factory=list)

    def run(self, watch: Callable[[float, int], None]) -> None:
        """Go on until nobody has a turn left; `watch` hears of virtual time and updated devices now and then."""
        self._heap = [(member.due_s, member.index) for member in self.members if member.due_s is not None]
        heapq.heapify(self._heap)
        began = watched = time.monotonic()
        with ThreadPoolExecutor(self.connections, thread_name_prefix="device") as pool:
            while turns := self._next_turns():
                self._keep_pace(turns[0], began)
                for member in pool.map(self._take_turn, turns):
                    if member.due_s is not None:
                        heapq.heappush(self._heap, (member.due_s, member.index))
                if time.monotonic() - watched >= WATCH_EVERY_S:
                    watched = time.monotonic()
                    watch(self.virtual_s, sum(member.updated_s is not None for member in self.members))

    def deliver_rest(self) -> None:
        """When the time is over: everything that devices still have to tell reaches the server."""
        waiting = [member.device for member in self.members if not member.device.outbox.is_empty()]
        with ThreadPoolExecutor(self.connections, thread_name_prefix="device") as pool:
            for _none in pool.map(VirtualAgent.deliver_rest, waiting):
                pass

    def _next_turns(self) -> list[Member]:
        """The members whose turns come next, and together."""
        turns: list[Member] = []
        span_s = SPAN_S if self.speed is None else min(SPAN_S, self.speed / 10)
        while self._heap and len(turns) < TURNS_AT_ONCE:
            due_s, index = self._heap[0]
            if due_s > self.until_s or (turns and due_s > (turns[0].due_s or 0.0) + span_s):
                break
            heapq.heappop(self._heap)
            turns.append(self.members[index])
            self.virtual_s = due_s
        return turns

    def _keep_pace(self, first: Member, began: float) -> None:
        """Wait until real time has come as far as virtual time may."""
        if self.speed is None or first.due_s is None:
            return
        left_s = began + first.due_s / self.speed - time.monotonic()
        self.behind_s = max(self.behind_s, -left_s)
        time.sleep(max(0.0, left_s))

    def _take_turn(self, member: Member) -> Member:
        """One cycle of a device; afterwards `due_s` is its next."""
        device, clock = member.device, member.clock
        clock.at_s = member.due_s or 0.0
        ended = device.cycle()
        member.cycles += 1
        member.troubled_cycles += ended.exit_code != 0
        member.updated_s = device.disk.switched_s if device.line.current == self.target else None
        is_done = device.is_at_rest and not self.keep_polling
        member.due_s = None if is_done else clock.at_s + ended.delay_s
        return member

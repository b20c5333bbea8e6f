"""Work that falls into independent parts, done by several processes at a time. No torch."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from compression.errors import CompressionError

Part = TypeVar("Part")
Result = TypeVar("Result")
Advance = Callable[[float], None]
"""Told which share of a part is done, 0..1."""


def in_order(
    work: Callable[[Part, Advance], Result], parts: Sequence[Part], workers: int, report: Advance
) -> Iterator[Result]:
    """Yield what `work` makes of each part, in their order; with more than one worker in processes of their own, so all must be picklable.

    `report` hears the share of all parts. The first error of a part is raised; with it, or when nobody asks for more, what goes on is ended.

    Raises:
        CompressionError: a process was ended from outside, as one is that wants too much memory.
    """
    shares = [0.0] * len(parts)

    def heard(place: int, share: float) -> None:
        shares[place] = share
        report(sum(shares) / len(shares))

    if min(workers, len(parts)) > 1:
        yield from _Crew(work, parts, workers, heard).results()
        return
    for place, part in enumerate(parts):
        yield work(part, partial(heard, place))
        heard(place, 1.0)


class _Crew(Generic[Part, Result]):
    """A process for each part that is under way; at most `workers` of them."""

    def __init__(
        self,
        work: Callable[[Part, Advance], Result],
        parts: Sequence[Part],
        workers: int,
        heard: Callable[[int, float], None],
    ) -> None:
        self._work, self._parts, self._workers, self._heard = work, parts, workers, heard
        self._waiting = deque(range(len(parts)))
        self._going: dict[Connection[Any, Any], tuple[int, BaseProcess]] = {}
        self._done: dict[int, Result] = {}

    def results(self) -> Iterator[Result]:
        """In the order of the parts."""
        try:
            for place in range(len(self._parts)):
                while place not in self._done:
                    self._start()
                    for connection in wait(list(self._going)):
                        self._hear(connection)  # type: ignore[arg-type]  # they are what was waited for
                yield self._done.pop(place)
        finally:
            for _, process in self._going.values():
                process.terminate()

    def _start(self) -> None:
        # A fresh interpreter each: torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        while self._waiting and len(self._going) < self._workers:
            place = self._waiting.popleft()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_do, args=(self._work, self._parts[place], theirs), daemon=True)
            process.start()
            # The worker's is the only one left: when it ends there is an end to hear.
            theirs.close()
            self._going[ours] = place, process

    def _hear(self, connection: "Connection[Any, Any]") -> None:
        place, process = self._going[connection]
        try:
            said = connection.recv()
        except EOFError:
            process.join()
            raise CompressionError(
                f"a worker process ended by itself (code {process.exitcode}), perhaps for want of memory; "
                "fewer --workers take less"
            ) from None
        match said:
            case float():
                self._heard(place, said)
            case Exception():
                raise said
            case (result,):
                self._done[place] = result
                del self._going[connection]
                process.join()
                self._heard(place, 1.0)


def _do(work: Callable[[Part, Advance], Result], part: Part, connection: "Connection[Any, Any]") -> None:
    """In a worker: say shares (float), then the result in a tuple or the error."""
    # Ctrl-C reaches every process of the terminal; the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        connection.send((work(part, connection.send),))
    except CompressionError as error:
        connection.send(error)


def _end_with_parent() -> None:
    """Whoever kills the command has killed its work too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

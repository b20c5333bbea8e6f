"""The agent's HTTP client on a simulated link.

Requests and answers are real, byte for byte. The link decides what of them the device gets to see and how much of its time
that takes; bytes are counted as the device would count them: a connection that never came about has none, an answer that
was lost has only its request's, and a body that was cut has those that came before the cut.
"""

import random
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agent.connection import Counted, Response
from agent.errors import RequestRefused, ServerUnavailable
from agent.http import Answer, Client
from client.simulate.clock import Coverage, VirtualClock
from client.simulate.links import LinkProfile
from client.simulate.traffic import Cut, Exchange, Kind, Traffic

KINDS = {
    ("POST", "poll"): Kind.SAY,
    ("GET", "poll"): Kind.ASK,
    ("POST", "events"): Kind.EVENTS,
    ("POST", "reports"): Kind.REPORTS,
}


@dataclass(frozen=True, slots=True)
class Link:
    """One device's link: what it is, when it is there, and what chance does to it."""

    profile: LinkProfile
    coverage: Coverage
    draw: random.Random
    clock: VirtualClock
    traffic: Traffic


class LinkedClient(Client):
    """The agent's client, whose exchanges take virtual time and may be cut.

    Attributes:
        is_on_link: False before the simulation and after it, when devices speak with the server as if beside it.
        passes_bytes: while an artifact's response is open, how many bytes of its body get through; None for all.
    """

    def __init__(self, server: str, link: Link, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(server, timeout_s=timeout_s, allow_insecure=True)
        self._tls = tls  # one for all devices: each would otherwise read the system's certificates anew
        self.is_on_link = False
        self._link = link
        self._spent = Counted()
        self._answer_is_lost = False
        self.passes_bytes: int | None = None

    def counted(self) -> Counted:
        return self._spent

    def tell(self, event: Mapping[str, Any]) -> None:
        """Take down an event that this device has made."""
        self._link.traffic.tell(self._link.profile.name, event)

    def call(self, method: str, path: str, *, document: object = None, etag: str | None = None) -> Answer:
        try:
            answer = super().call(method, path, document=document, etag=etag)
        except RequestRefused as refused:
            if self._answer_is_lost:
                raise ServerUnavailable("the link lost the answer") from refused
            raise
        if path in ("events", "reports"):
            self._link.traffic.judge(KINDS[method, path], answer.json())
        if self._answer_is_lost:
            self.close()
            raise ServerUnavailable("the link lost the answer")
        return answer

    @contextmanager
    def open(
        self, method: str, path: str, headers: Mapping[str, str], *, body: bytes | None = None, seconds: float
    ) -> Iterator[Response]:
        self.passes_bytes, self._answer_is_lost = None, False
        if not self.is_on_link:
            with super().open(method, path, headers, body=body, seconds=seconds) as response:
                yield response
            return
        kind = Kind.NEWS if path.startswith("models/") else KINDS.get((method, path), Kind.ARTIFACT)
        is_cut, where = self._set_out(kind)
        before, began, connects = super().counted(), time.perf_counter(), int(self._kept is None)
        status, to_body = None, Counted()
        try:
            with super().open(method, path, headers, body=body, seconds=seconds) as response:
                status, to_body = response.status, self._until_body(response) - before
                if kind is Kind.ARTIFACT:
                    self.passes_bytes = self._passes(response, to_body, connects, where if is_cut else None)
                yield response
        finally:
            answer_s = time.perf_counter() - began
            spent = super().counted() - before
            self._account(
                kind,
                spent,
                to_body,
                connects,
                status=status,
                answer_s=answer_s,
                is_cut=is_cut,
                resumes="Range" in headers,
            )
        if kind is Kind.NEWS and self._answer_is_lost:
            self.close()
            raise ServerUnavailable("the link lost the answer")

    def _set_out(self, kind: Kind) -> tuple[bool, float]:
        """Whether this exchange is going to be cut, and where (a share of the way).

        Raises:
            ServerUnavailable: it does not come about at all.
        """
        link = self._link
        is_cut, where = link.draw.random() < link.profile.loss, link.draw.random()
        cut = None
        if link.coverage.is_out(link.clock.at_s):
            cut = Cut.OUT_OF_REACH
        elif is_cut and kind is not Kind.ARTIFACT and where < 0.5:
            cut = Cut.NO_CONNECTION
        if cut is not None:
            link.traffic.miss(cut)
            link.clock.advance(self.timeout_s)
            raise ServerUnavailable(f"{cut}: the device waited {self.timeout_s:g} s")
        return is_cut, where

    def _until_body(self, response: Response) -> Counted:
        """What was counted up to the first byte of the body; the reader may have read on."""
        counted = super().counted()
        return Counted(counted.received - response.ahead_bytes, counted.sent, counted.requests)

    def _passes(self, response: Response, to_body: Counted, connects: int, cut_at: float | None) -> int | None:
        """How many bytes of the body come through."""
        if response.length is None or response.status not in (200, 206):
            return None
        link = self._link
        passes = response.length if cut_at is None else int(response.length * cut_at)
        reach_left_s = link.coverage.reach_left_s(link.clock.at_s)
        if reach_left_s < float("inf"):
            set_up_s = link.profile.seconds(sent=to_body.sent, received=to_body.received, connects=connects)
            passes = min(passes, link.profile.payload_within(reach_left_s - set_up_s))
        return None if passes >= response.length else passes

    def _account(
        self,
        kind: Kind,
        spent: Counted,
        to_body: Counted,
        connects: int,
        *,
        status: int | None,
        answer_s: float,
        is_cut: bool,
        resumes: bool,
    ) -> None:
        """Take down an exchange that the server saw, and let its time pass."""
        link, cut = self._link, None
        if self.passes_bytes is not None:
            cut = Cut.CUT_SHORT
            spent = Counted(to_body.received + self.passes_bytes, spent.sent, spent.requests)
        seconds = link.profile.seconds(
            sent=spent.sent, received=spent.received, connects=connects, requests=spent.requests
        )
        if kind is not Kind.ARTIFACT and (is_cut or seconds > link.coverage.reach_left_s(link.clock.at_s)):
            cut, self._answer_is_lost = Cut.ANSWER_LOST, True
            spent, seconds = Counted(0, spent.sent, spent.requests), self.timeout_s
        link_bytes = link.profile.link_bytes(sent=spent.sent, received=spent.received, connects=connects)
        link.traffic.add(
            Exchange(
                kind, link.profile.name, link.clock.at_s, spent, link_bytes, status, answer_s, resumes=resumes, cut=cut
            )
        )
        self._spent = Counted(
            self._spent.received + spent.received, self._spent.sent + spent.sent, self._spent.requests + spent.requests
        )
        link.clock.advance(seconds)

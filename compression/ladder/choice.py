"""Which rungs are worth publishing: pure rules over what was measured on samples that no rung is reported on. No torch.

A fleet holds few digests of a line, so a version gets at most three rungs: a faithful one, a thrifty one, and the best of what else lies on the
Pareto front of bytes against divergence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_PUBLISHED = 3


@dataclass(frozen=True, slots=True)
class Promise:
    """What a rung of this name must hold on samples that nobody saw, and what it is chosen by on those that it is not reported on.

    Attributes:
        agreement: how often it says what the new version says, at least.
        difference: of its accuracy from the new version's, at most.
        divergence: of its scores where rungs are chosen, in nats, at most: no more than `1 - agreement`, for a nat there has cost about one answer
            elsewhere (docs/decisions/0032).
    """

    name: str
    agreement: float
    difference: float
    divergence: float


PROMISES = (
    Promise("faithful", 0.995, 0.003, divergence=0.004),
    Promise("thrifty", 0.99, 0.005, divergence=0.010),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A candidate as the choice sees it: bytes from the base, and what the samples that are chosen on tell.

    Attributes:
        divergence: from the new version's scores: nats, mean over samples.
        difference: of accuracies, the least that is within its 95 % interval: a few hundred samples cannot tell tenths of a point.
    """

    name: str
    size_bytes: int
    divergence: float
    difference: float

    def keeps(self, promise: Promise) -> bool:
        """Whether it may be chosen for what is promised."""
        return self.divergence <= promise.divergence and abs(self.difference) <= promise.difference


def choose(offers: Sequence[Offer], *, at_most: int = MAX_PUBLISHED) -> dict[str, str]:
    """The chosen candidates: what each is chosen as, by its name, in the order of the offers.

    For each promise it is the one with the fewest bytes that keeps it; then those on the front, farthest in bytes from what is chosen already
    ("between"). A promise that none keeps is nobody's.
    """
    chosen: dict[str, str] = {}
    for promise in PROMISES:
        keeping = [offer for offer in offers if offer.keeps(promise)]
        if keeping and len(chosen) < at_most:
            best = min(keeping, key=lambda offer: (offer.size_bytes, offer.divergence))
            chosen[best.name] = f"{chosen[best.name]}, {promise.name}" if best.name in chosen else promise.name
    front = pareto_front(offers)
    while len(chosen) < at_most and (rest := [offer for offer in front if offer.name not in chosen]):
        taken = [offer.size_bytes for offer in offers if offer.name in chosen]
        farthest = max(
            rest, key=lambda offer: min((_ratio(offer.size_bytes, size) for size in taken), default=-offer.divergence)
        )
        chosen[farthest.name] = "between"
    return {offer.name: chosen[offer.name] for offer in offers if offer.name in chosen}


def pareto_front(offers: Sequence[Offer]) -> list[Offer]:
    """Those that no other beats in bytes without diverging more, or the other way round; fewest bytes first."""
    found: list[Offer] = []
    for offer in sorted(offers, key=lambda offer: (offer.size_bytes, offer.divergence, offer.name)):
        if not found or offer.divergence < found[-1].divergence:
            found.append(offer)
    return found


def _ratio(one: int, other: int) -> float:
    return max(one, other) / max(min(one, other), 1)


def variant_names(chosen: Mapping[str, str]) -> dict[str, str]:
    """What chosen candidates are called as variants: `rung-faithful`, `rung-thrifty`, `rung-3` and on."""
    names = {}
    for place, (name, role) in enumerate(chosen.items(), 1):
        names[name] = f"rung-{place}" if role == "between" else f"rung-{role.partition(',')[0]}"
    return names

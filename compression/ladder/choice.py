"""Which rungs are worth publishing: pure rules over what was measured on samples that no rung is reported on. No torch.

A fleet holds few digests of a line, so a version gets at most three rungs: a faithful one, a thrifty one, and the best of what else lies on the
Pareto front of bytes against divergence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_PUBLISHED = 3
USUAL_BOLDNESS, USUAL_WEIGHT = 0.12, 5.0
"""Share of other answers for each root of a nat, as it was for nets of other seeds than those of any table (.07 to .17), and how many
other answers that experience is worth (docs/decisions/0032)."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a rung of this name must hold on samples that nobody saw.

    Attributes:
        agreement: how often it says what the new version says, at least.
        difference: of its accuracy from the new version's, at most.
    """

    name: str
    agreement: float
    difference: float


PROMISES = (Promise("faithful", 0.995, 0.003), Promise("thrifty", 0.99, 0.005))


@dataclass(frozen=True, slots=True)
class Offer:
    """A candidate as the choice sees it: bytes from the base, and what the samples that are chosen on tell.

    Attributes:
        divergence: from the new version's scores: nats, mean over samples.
        difference: of accuracies, the least that is within its 95 % interval: a few hundred samples cannot tell tenths of a point.
        asked: how many samples that the new version was not trained on were asked; those that it knows by heart count as none.
        others: how many of these were answered otherwise than by the new version.
    """

    name: str
    size_bytes: int
    divergence: float
    difference: float
    asked: int = 0
    others: int = 0


def boldness(offers: Sequence[Offer]) -> float:
    """The share of other answers to expect for each root of a nat that scores have moved, on the careful side: five times in six it is less.

    Scores that move by d differ by d squared in nats, and by d in answers near the border. How many there are near the border is a matter of the
    pair; all its candidates tell it together: a Gamma-Poisson estimate, whose prior is `USUAL_BOLDNESS`. The candidates were asked the same samples,
    so they count as one. The quantile is E. B. Wilson and M. M. Hilferty's (PNAS 17, 1931), one standard deviation above the middle.
    """
    count = max(len(offers), 1)
    seen = USUAL_WEIGHT + sum(offer.others for offer in offers) / count
    moved = USUAL_WEIGHT / USUAL_BOLDNESS + sum(offer.asked * math.sqrt(offer.divergence) for offer in offers) / count
    return seen * (1 - 1 / (9 * seen) + 1 / (3 * math.sqrt(seen))) ** 3 / moved


def allowed(offers: Sequence[Offer], promise: Promise) -> float:
    """The divergence (nats) up to which answers that are foretold hold what is promised."""
    return ((1 - promise.agreement) / boldness(offers)) ** 2


def keeping(offers: Sequence[Offer], promise: Promise) -> list[Offer]:
    """Those that may be chosen for what is promised: the answers and the accuracy that are foretold of them hold it."""
    limit = allowed(offers, promise)
    return [offer for offer in offers if offer.divergence <= limit and abs(offer.difference) <= promise.difference]


def choose(offers: Sequence[Offer], *, at_most: int = MAX_PUBLISHED) -> dict[str, str]:
    """The chosen candidates: what each is chosen as, by its name, in the order of the offers.

    For each promise it is the one with the fewest bytes that keeps it; then those on the front, farthest in bytes from what is chosen already
    ("between"). A promise that none keeps is nobody's.
    """
    chosen: dict[str, str] = {}
    for promise in PROMISES:
        good = keeping(offers, promise)
        if good and len(chosen) < at_most:
            best = min(good, key=lambda offer: (offer.size_bytes, offer.divergence))
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

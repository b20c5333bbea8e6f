"""Pairs of trained nets as they come: fine-tuned hard and gently, only the last layer, retrained, packed."""

from pathlib import Path

from benchmarks.peers.corpus.checkpoints import NETS, checkpoint
from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.pairs import Made, PairClass

EVERY_WEIGHT_CHANGES = ("squeezenet", "mobilenet", "recurrent")
_HOW = {
    "hard": "fine-tuned with Adam at 5e-4, 240 steps of 64 images",
    "gentle": "fine-tuned with SGD at 1e-3, 12 steps of 64 images",
    "faint": "fine-tuned with SGD at 1e-5, 12 steps of 64 images",
    "half": "the later half of the layers fine-tuned with Adam at 5e-4, 120 steps",
    "head": "only the last layer trained, Adam at 5e-4, 60 steps",
    "retrained": "trained again from another seed",
}


def _recipe(pair_class: PairClass, name: str, net: str, stage: str) -> Recipe:
    def make(workshop: Path) -> Made:
        first, second = checkpoint(workshop, net, "first"), checkpoint(workshop, net, stage)
        return Made(new=second.read_bytes(), base=first.read_bytes())

    return Recipe(pair_class, name, f"{net}, {_HOW[stage]}", make)


def _packed(net: str) -> Recipe:
    def make(workshop: Path) -> Made:
        return Made(new=checkpoint(workshop, net, "hard").read_bytes())

    return Recipe(PairClass.UNRELATED, f"packed-{net}", f"{net}, packed", make)


RECIPES = [
    *(_recipe(PairClass.FINE_TUNED, net, net, "hard") for net in EVERY_WEIGHT_CHANGES),
    # Units that are never active get no gradient: here a hard fine-tune leaves weights untouched as well.
    *(_recipe(PairClass.GENTLE, f"hard-{net}", net, "hard") for net in NETS if net not in EVERY_WEIGHT_CHANGES),
    *(_recipe(PairClass.GENTLE, f"gentle-{net}", net, "gentle") for net in NETS),
    *(_recipe(PairClass.GENTLE, f"faint-{net}", net, "faint") for net in ("squeezenet", "recurrent", "perceptron")),
    *(_recipe(PairClass.GENTLE, f"half-{net}", net, "half") for net in ("squeezenet", "mobilenet")),
    *(_recipe(PairClass.OTHER, f"last-layer-{net}", net, "head") for net in NETS[:4]),
    *(_recipe(PairClass.UNRELATED, f"retrained-{net}", net, "retrained") for net in NETS),
    *(_packed(net) for net in NETS),
]

"""The steps of Deep Compression: prune, fold, share. See `compression.deep`; a recipe takes them in this order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression.errors import RecipeInvalid
from compression.steps.keys import choice, flag, number, table, whole
from compression.steps.retraining import Trains
from compression.steps.step import Workbench

if TYPE_CHECKING:
    from compression.deep.allocation import Allocation
    from compression.onnx_torch import OnnxNet


@dataclass(frozen=True, slots=True)
class Prune(Trains):
    """Sets the smallest weights to zero, more and more of them, while the rest is trained on."""

    sparsity: float = number(0.9, 0, 0.9999, "share of the weights that is zero in the end")
    allocation: str = choice(
        "lamp",
        ("lamp", "uniform", "sensitivity", "given"),
        "how layers share it: one score for all, evenly, at equal loss, or only those in `layers`",
    )
    layers: Mapping[str, float] = table("final sparsity of a layer, by its node or its weight", 0, 1)
    schedule: str = choice("cubic", ("cubic", "rounds"), "a little at a time, or in rounds with retraining between")
    rounds: int = whole(4, 1, 1000, 'of schedule "rounds"')
    every: int = whole(20, 1, 1_000_000, "steps of the optimiser from one pruning to the next")
    until: float = number(0.6, 0, 1, "share of the training after which nothing more is pruned")
    sensitivity_samples: int = whole(
        512, 2, 1_000_000, 'samples that the layers are tried on; of allocation "sensitivity"'
    )

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Prune."""
        from compression.deep.layers import layers_by_weight
        from compression.deep.pruning import prune

        net = self.student_of(source, bench)
        masks = prune(
            net,
            bench.training,
            self.retraining(),
            self._allocation(net, bench),
            every=self.every,
            until=self.until,
            seed=bench.seed,
            teacher=self.teacher_of(source, bench),
            progress=bench.progress,
        )
        net.write(target)
        kept = {layer.name: int(masks[name].sum()) for name, layer in layers_by_weight(net).items()}
        return {
            "weights": sum(mask.size for mask in masks.values()),
            "weights_kept": sum(kept.values()),
            "weights_kept_by_layer": kept,
        }

    def _allocation(self, net: "OnnxNet", bench: Workbench) -> "Allocation":
        from compression.deep.allocation import Apart, ByLayer, Together, equal_loss
        from compression.deep.layers import arrays, by_weight
        from compression.deep.pruning import sensitivity
        from compression.deep.schedules import cubic, rounds

        schedule = cubic if self.schedule == "cubic" else rounds(self.rounds)
        given = ByLayer(by_weight(net, self.layers, key="layers"), schedule)
        sizes = {name: own.size for name, own in arrays(net).items()}
        others: Allocation
        match self.allocation:
            case "given":
                return given
            case "lamp":
                others = Together(self.sparsity, schedule)
            case "uniform":
                others = ByLayer(dict.fromkeys(sizes, self.sparsity), schedule)
            case _:
                curves = sensitivity(net, bench.training.first(self.sensitivity_samples), progress=bench.progress)
                try:
                    found = equal_loss(curves, sizes, self.sparsity)
                except ValueError as error:
                    raise RecipeInvalid(f"sparsity: {error}") from error
                # The curves were measured with one weight at least.
                others = ByLayer({name: min(own, 1 - 1 / sizes[name]) for name, own in found.items()}, schedule)
        return Apart(given, frozenset(given.finals), others)


@dataclass(frozen=True, slots=True)
class Fold:
    """Folds batch normalisation into the layers before it; answers stay the same. After pruning, before sharing."""

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Fold."""
        from compression.folding import fold_normalisation
        from compression.onnx_files import read_model, write_model

        folded, count = fold_normalisation(read_model(source))
        write_model(folded, target)
        return {"normalisations": count}


@dataclass(frozen=True, slots=True)
class Share(Trains):
    """Lets the weights of a layer share few values, by k-means, and trains these on. Zeros stay zeros."""

    learning_rate: float = number(1e-4, 0, 1, "of Adam at its height; falls to zero by a half cosine")
    convolution_bits: int = whole(8, 1, 12, "a convolution has up to 2^bits values other than zero")
    dense_bits: int = whole(5, 1, 12, "likewise any other layer")
    bias_bits: int | None = whole(
        None, 1, 12, "likewise biases, and what else is no layer's weights; unset: these are left alone"
    )
    layers: Mapping[str, int] = table("bits of a layer, by its node or its weight", 1, 12)
    search: bool = flag("fewer bits where a layer alone does not need them", default=False)
    least_bits: int = whole(2, 1, 12, "the fewest that are tried in a search")
    tolerance: float = number(0.002, 0, 10, "nats that sharing one layer may add to the loss; of a search")
    search_samples: int = whole(512, 2, 1_000_000, "training samples that a search tries layers on")
    rate_weight: float = number(0.0, 0, 1, "closeness that is given up for cheaper indices, in variances for a bit")
    coarse: bool = flag("round the values to the 8 bits of bfloat16's mantissa", default=False)

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Share."""
        from compression.deep.layers import layers_by_weight
        from compression.deep.sharing import share
        from compression.deep.trained_sharing import distinct_values, train_shared

        net = self.student_of(source, bench)
        bits = self._bits(net, bench)
        shared = {
            name: share(net.weights[name].detach().numpy(), 1 << own, rate_weight=self.rate_weight)
            for name, own in bits.items()
        }
        train_shared(
            net,
            bench.training,
            self.retraining(),
            shared,
            seed=bench.seed,
            coarse=self.coarse,
            teacher=self.teacher_of(source, bench),
            progress=bench.progress,
        )
        net.write(target)
        weights = net.weights
        return {
            "values_by_layer": {
                layer.name: distinct_values(weights[name].detach().numpy())
                for name, layer in layers_by_weight(net).items()
            },
            "bits_by_layer": {layer.name: bits[name] for name, layer in layers_by_weight(net).items()},
        }

    def _bits(self, net: "OnnxNet", bench: Workbench) -> dict[str, int]:
        """By tensor."""
        from compression.deep.layers import by_weight, layers_by_weight
        from compression.deep.trained_sharing import search_bits

        layers = layers_by_weight(net)
        most = {
            name: self.convolution_bits if layer.op.startswith("Conv") else self.dense_bits
            for name, layer in layers.items()
        }
        if self.search:
            found = search_bits(
                net,
                bench.training.first(self.search_samples),
                choices=range(self.least_bits, max(most.values()) + 1),
                tolerance=self.tolerance,
                progress=bench.progress,
            )
            most = {name: min(own, found[name]) for name, own in most.items()}
        bits = most | by_weight(net, self.layers, key="layers")
        if self.bias_bits is not None:
            trained = {name for name, weight in net.weights.items() if weight.requires_grad}
            bits |= dict.fromkeys(trained - set(bits), self.bias_bits)
        return bits

"""Steps that train on what will be int8: quantisation-aware fine-tuning, and int8 updates that are cheap to send."""

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compression.errors import RecipeInvalid
from compression.steps.keys import choice, flag, listed, number, whole
from compression.steps.retraining import Trains
from compression.steps.step import Workbench


@dataclass(frozen=True, slots=True)
class QatInt8(Trains):
    """As static_int8, then trained on while everything is rounded as it will be; for nets that lose too much without."""

    epochs: int = whole(4, 0, 10_000, "passes over the training samples")
    learning_rate: float = number(1e-4, 0, 1, "of Adam at its height; falls to zero by a half cosine")
    learn_scales: bool = flag("train the scales of the weights too", default=True)
    calibration_samples: int = whole(512, 1, 100_000, "training samples that the activations' ranges are found on")
    method: str = choice(
        "minmax", ("minmax", "percentile", "entropy"), "how the range of an activation is found on the samples"
    )
    percentile: float = number(99.99, 50, 100, 'share of values within the range, in percent; of "percentile" only')

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Quantise and train on."""
        from compression.quantisation import prepare, quantise_prepared
        from compression.quantisation.aware import tune_quantised

        with tempfile.TemporaryDirectory() as folder:
            prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
            prepare(source, prepared)
            calibration = bench.training.first(self.calibration_samples)
            quantise_prepared(prepared, quantised, calibration, method=self.method, percentile=self.percentile)
            tuned = tune_quantised(
                prepared,
                quantised,
                target,
                bench.training,
                self.retraining(),
                seed=bench.seed,
                teacher=self.teacher_of(source, bench),
                learn_scales=self.learn_scales,
                progress=bench.progress,
            )
        return {"calibration_samples": len(calibration)} | dataclasses.asdict(tuned)


@dataclass(frozen=True, slots=True)
class DeltaAwareInt8:
    """int8 on the grids of the int8 file that devices hold (--held), codes changing only where that is worth its bytes."""

    rates: tuple[float, ...] = listed(
        (1e-6, 3e-6), "rising: nats of divergence a sample that may be lost for a nat of codes", 1e-15, 1
    )
    first_iterations: int = whole(200, 0, 10_000_000, "batches of training at the first rate; 0: nothing is trained")
    iterations: int = whole(100, 0, 10_000_000, "likewise at each further rate")
    learning_rate: float = number(0.05, 0, 1, "of Adam, for changes of codes")
    batch: int = whole(64, 2, 65_536, "samples per step")
    deviations: float = number(
        4.0, 0.1, 100, "codes change by multiples of so many standard deviations of the difference, at least of 1"
    )
    bias_deviations: float = number(1.5, 0.01, 100, "likewise of biases")
    agreement_loss: float = number(
        0.03, 0, 1, "how much less often than ordinary int8 the file may answer like the source, on training samples"
    )
    keep_range: float = number(
        1.25,
        1,
        100,
        "a scale stays unless it would be so many times larger; an activation's also, unless it is smaller by twice that",
    )
    calibration_samples: int = whole(512, 1, 100_000, "training samples that the activations' ranges are found on")
    method: str = choice(
        "minmax", ("minmax", "percentile", "entropy"), "how the range of an activation is found on the samples"
    )
    percentile: float = number(99.99, 50, 100, 'share of values within the range, in percent; of "percentile" only')
    per_channel: bool = flag("one scale for each output channel of a weight, not one for all", default=True)

    def __post_init__(self) -> None:
        if not self.rates or list(self.rates) != sorted(set(self.rates)):
            raise RecipeInvalid(f"rates: expected at least one number, rising, got {list(self.rates)}")

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Quantise on the held grids and choose."""
        from compression.quantisation.delta_aware import DeltaAware, update_int8

        updated = update_int8(
            bench.require_held(),
            source,
            target,
            bench.training,
            DeltaAware(
                rates=self.rates,
                first_iterations=self.first_iterations,
                iterations=self.iterations,
                deviations=self.deviations,
                bias_deviations=self.bias_deviations,
                agreement_loss=self.agreement_loss,
                keep_range=self.keep_range,
                learning_rate=self.learning_rate,
                batch=self.batch,
            ),
            seed=bench.seed,
            calibration=self.calibration_samples,
            method=self.method,
            percentile=self.percentile,
            per_channel=self.per_channel,
            progress=bench.progress,
        )
        return dataclasses.asdict(updated)

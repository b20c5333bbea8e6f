"""int8 updates on trained pairs, ordinary and delta-aware: `python -m benchmarks.peers.delta_aware [--write docs/quantisation.md]`.

v1 is a SqueezeNet that saw part of the training images, v2 its fine-tune on all of them, moved about; both are exported with their normalisation
folded, and quantised. What devices hold is v1's int8 file. Bytes are those of the patch that the
codec writes; accuracy is measured by the ruler on the written file and on images that no training, calibration or choice has seen. Each pair's
row is kept in the cache as soon as it is measured, so that a run that was cut goes on where it was.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy import Predictions
from benchmarks.paired import compare
from benchmarks.peers.folders import default_cache
from compression.datasets import Samples, load_samples, split
from compression.evaluation import predict_classes
from compression.pages import Section
from compression.quantisation import quantise_static
from compression.quantisation.delta_aware import DeltaAware, update_int8
from compression.rate import delta_bytes

SECTION = Section("<!-- table: begin -->", "<!-- table: end -->")
CALIBRATION = 512
HELD_OUT = 1 / 3
SEED = 2017
REACH = 0.5
"""At most this share of ordinary quantisation's bytes."""
WAYS: dict[str, DeltaAware | None] = {
    "ordinary": None,
    "held grid": DeltaAware(rates=(1e-15,), first_iterations=0, iterations=0, deviations=0.1, bias_deviations=0.01),
    "chosen": DeltaAware(
        rates=(1e-9, 3e-9, 1e-8),
        first_iterations=0,
        iterations=0,
        deviations=0.1,
        bias_deviations=0.1,
        agreement_loss=0.02,
    ),
    "trained": DeltaAware(),
}
TITLES = {
    "ordinary": "ordinary int8 of v2",
    "held grid": "on the held scales, nearest code",
    "chosen": "delta-aware, nothing trained",
    "trained": "delta-aware, trained",
}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdatePair:
    """How v1 and v2 come about: from so many images of a set, of which v1 saw the first `first` that are for training."""

    name: str
    data: str
    seed: int
    images: int
    first: int
    epochs: tuple[int, int]

    def samples(self) -> tuple[Samples, Samples]:
        """Those for training, and those left out."""
        return split(load_samples(self.data).first(self.images), held_out=HELD_OUT)


PAIRS = {
    pair.name: pair
    for pair in (
        UpdatePair("digits-1", "digits", 1, images=1797, first=320, epochs=(16, 8)),
        UpdatePair("digits-2", "digits", 2, images=1797, first=320, epochs=(16, 8)),
        UpdatePair("digits-3", "digits", 3, images=1797, first=320, epochs=(16, 8)),
        UpdatePair("mnist14-1", "mnist14", 4, images=2000, first=600, epochs=(8, 4)),
        UpdatePair("mnist14-2", "mnist14", 5, images=2000, first=600, epochs=(8, 4)),
    )
}


def main(argv: list[str] | None = None) -> int:
    """Measure what is not in the cache, print the table; 1 when no way reaches half of ordinary's bytes on all pairs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.delta_aware", description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder for nets and rows (%(default)s)")
    parser.add_argument("--only", choices=PAIRS, help="measure this pair and print nothing else")
    parser.add_argument("--way", choices=WAYS, action="append", help="only this way, beside ordinary; several times")
    parser.add_argument("--kept", action="store_true", help="measure nothing, show what is in the cache")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of this document")
    args = parser.parse_args(argv)
    pairs = [PAIRS[args.only]] if args.only else list(PAIRS.values())
    ways = [way for way in WAYS if not args.way or way in {"ordinary", *args.way}]
    rows = {pair.name: _kept(args.cache, pair, ways, is_measuring=not args.kept) for pair in pairs}
    rows = {name: of for name, of in rows.items() if len(of) > 1}
    if not rows:
        print("nothing is measured yet", file=sys.stderr)
        return 1
    table = _markdown(rows)
    print(table)
    if args.write:
        args.write.write_text(SECTION.put(args.write.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0 if _is_reached(rows) else 1


def _kept(cache: Path, pair: UpdatePair, ways: Sequence[str], *, is_measuring: bool) -> dict[str, Row]:
    """The pair's row for each way, measured where it is not in the cache."""
    folder = cache / "delta_aware" / pair.name
    path = folder / "rows.json"
    rows: dict[str, Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = [way for way in ways if way not in rows or rows[way]["settings"] != _settings(way)]
    if missing and is_measuring:
        measure = _Pair(pair, folder)
        for way in missing:
            rows[way] = measure(way)
            path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
            print(f"{pair.name} {way}: {rows[way]['delta_bytes']:,} bytes, {rows[way]['accuracy']:.4f}", flush=True)
    return {way: rows[way] for way in ways if way in rows}


class _Pair:
    """One pair's files and samples."""

    def __init__(self, pair: UpdatePair, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        training, self._left_out = pair.samples()
        self._training = training
        base, self._new = _made(pair, training, folder)
        self._held, self._ordinary = folder / "held.onnx", folder / "ordinary.onnx"
        quantise_static(base, self._held, training.first(CALIBRATION))
        quantise_static(self._new, self._ordinary, training.first(CALIBRATION))
        self._by_new = predict_classes(self._new, self._left_out)
        self._by_ordinary = predict_classes(self._ordinary, self._left_out)

    def __call__(self, way: str) -> Row:
        how, started = WAYS[way], time.monotonic()
        path, facts = self._ordinary, {}
        if how is not None:
            path = self._folder / f"{way.replace(' ', '-')}.onnx"
            updated = update_int8(self._held, self._new, path, self._training, how, seed=SEED, calibration=CALIBRATION)
            facts = {
                "rate": updated.tried[updated.chosen].rate,
                "changed_share": updated.tried[updated.chosen].changed_share,
                "is_good": updated.is_good,
                "scales_replaced": len(updated.scales_replaced),
            }
        seconds = time.monotonic() - started
        found = predict_classes(path, self._left_out)
        return {
            "settings": _settings(way),
            "delta_bytes": delta_bytes(self._held, path),
            "size_bytes": path.stat().st_size,
            "fp32_bytes": self._new.stat().st_size,
            "accuracy": found.accuracy,
            "fp32_accuracy": self._by_new.accuracy,
            "samples": found.n,
            **_against("ordinary", found, self._by_ordinary, self._left_out),
            **_against("fp32", found, self._by_new, self._left_out),
            "seconds": seconds,
            "facts": facts,
        }


def _made(pair: UpdatePair, training: Samples, folder: Path) -> tuple[Path, Path]:
    """v1 and v2, trained where they are not there yet."""
    base, new = folder / "v1.onnx", folder / "v2.onnx"
    if new.exists():
        return base, new
    import copy

    import torch

    from compression.determinism import repeatable
    from compression.onnx_export import export_onnx
    from compression.squeezenet import SqueezeNet, SqueezeNetShape
    from compression.training import Recipe, train

    with repeatable():
        torch.manual_seed(pair.seed)
        net = SqueezeNet(SqueezeNetShape(classes=10, stem_channels=32, stages=(((16, 48), (16, 48)), ((32, 96),))))
        first = Recipe(pair.epochs[0], peak_learning_rate=4e-3, shift_pixels=0.0, seed=10 * pair.seed)
        second = Recipe(pair.epochs[1], peak_learning_rate=5e-4, shift_pixels=0.5, seed=10 * pair.seed + 1)
        for path, images, recipe in ((base, training.first(pair.first), first), (new, training, second)):
            train(net, images, recipe)
            deployed = copy.deepcopy(net)
            deployed.fold_normalisation()
            partial = path.with_suffix(".partial")
            export_onnx(deployed, partial, example=training.images[:32], input_name="image", output_name="logits")
            partial.replace(path)
        return base, new


def _settings(way: str) -> str:
    return repr(WAYS[way])


def _against(name: str, found: Predictions, reference: Predictions, samples: Samples) -> dict[str, Any]:
    paired = compare(found.classes, reference.classes, samples.classes.tolist())
    return {
        f"{name}_agreement": paired.agreement,
        f"{name}_difference": paired.difference,
        f"{name}_difference_ci95": list(paired.difference_ci95),
        f"{name}_p_value": paired.p_value,
    }


def _share(rows: Mapping[str, Row], way: str) -> float:
    return float(rows[way]["delta_bytes"] / rows["ordinary"]["delta_bytes"])


def _is_reached(rows: Mapping[str, Mapping[str, Row]]) -> bool:
    """Whether one way takes at most half the bytes on every pair, and is nowhere worse by McNemar's test."""
    ways = [way for way in ("chosen", "trained") if all(way in of for of in rows.values())]
    return len(rows) == len(PAIRS) and any(
        all(_share(of, way) <= REACH and not _is_worse(of[way]) for of in rows.values()) for way in ways
    )


def _is_worse(row: Row) -> bool:
    return bool(row["ordinary_difference"] < 0 and row["ordinary_p_value"] < 0.05)


def _markdown(rows: Mapping[str, Mapping[str, Row]]) -> str:
    lines = [
        "| pair | way | delta bytes | of ordinary | accuracy | against ordinary int8 (McNemar) | agrees with v2 fp32 | s |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for name, of in rows.items():
        for way, row in of.items():
            low, high = row["ordinary_difference_ci95"]
            against = (
                f"{row['ordinary_difference']:+.2%} [{low:+.2%}, {high:+.2%}], p {row['ordinary_p_value']:.2f}"
                if way != "ordinary"
                else ""
            )
            lines.append(
                f"| {name} | {TITLES[way]} | {row['delta_bytes']:,} | {_share(of, way):.3f} | {row['accuracy']:.2%} "
                f"| {against} | {row['fp32_agreement']:.2%} | {row['seconds']:.0f} |"
            )
    return "\n".join(
        [
            *lines,
            "",
            *(_summary(rows, way) for way in WAYS if way != "ordinary" and any(way in of for of in rows.values())),
        ]
    )


def _summary(rows: Mapping[str, Mapping[str, Row]], way: str) -> str:
    measured = {name: of for name, of in rows.items() if way in of}
    shares = [_share(of, way) for of in measured.values()]
    worse = [name for name, of in measured.items() if _is_worse(of[way])]
    held = "no pair worse by McNemar's test at 5 %" if not worse else f"worse by McNemar's test: {', '.join(worse)}"
    middle: Callable[[list[float]], float] = statistics.median
    return (
        f"- {TITLES[way]}: {middle(shares):.3f} of ordinary's bytes in the median of {len(shares)} pairs, "
        f"{max(shares):.3f} at worst; {held}."
    )


if __name__ == "__main__":
    raise SystemExit(main())

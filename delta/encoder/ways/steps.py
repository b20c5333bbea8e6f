"""The tensor as its counterpart plus whole numbers of one step: rungs of a rate-accuracy ladder."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from delta.arrays import Items
from delta.corrections.steps import Steps, Weights, moved
from delta.encoder.base_tensors import Counterpart
from delta.encoder.channels import axes
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import ContextPlan, InContext, Proposal, Way
from delta.encoder.ways.moved import prediction
from delta.entropy.symbols import Mapping

_FLOAT = 1
_CLASSES = 48
_PRECISE = 256
"""How many of the most precise changes the first guess at the step looks at."""
_SMALLEST_CODES = 12
"""Few changes may all be of several steps: what the smallest of them may be."""
_NEIGHBOURS = 8
MAX_CODE = 1 << 15


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """For each counterpart that explains every item: codes in contexts of their channel's density."""
    if tensor.data_type != _FLOAT or not scene.settings.contexts:
        return
    values = scene.values(tensor)
    for old in _sources(tensor, scene):
        old_values = scene.base.values(old)
        found = find_step(values, old_values)
        if found is None:
            continue
        step, codes = found
        predictor, operands = prediction(old)
        step_bits = int(step.view(np.uint32))
        for axis in axes(tensor.dims, codes.size):
            sizes = axis.root_mean_squares(codes.astype(np.float64))
            classes = np.clip(np.rint(2 * np.log2(sizes + 2.0**-12) + 24), 0, _CLASSES - 1).astype(np.int16)
            plan = ContextPlan(Mapping.TOKENS, "steps", count=_CLASSES, shifts=classes, inner=axis.inner)
            drawn = InContext("steps", codes, plan, plan.contexts(old_values))
            yield (Way(tensor.size, predictor, operands, Steps.number, (step_bits,), drawn),)


def _sources(tensor: TensorRef, scene: Scene) -> Iterator[Counterpart]:
    """Counterparts, then what has the name and form: gains and shifts may move so far that nothing of them is alike."""
    found = scene.base.counterparts(tensor)
    yield from found
    for old in scene.base.named(tensor.name):
        if (old.data_type, old.items) == (tensor.data_type, tensor.items) and Counterpart(old) not in found:
            yield Counterpart(old)


def find_step(new: Weights, old: Weights) -> tuple[np.float32, Items] | None:
    """The step and the codes (int16) with `moved(old, codes, step)` equal to `new`, bit for bit, if there are any."""
    with np.errstate(all="ignore"):
        change = new.astype(np.float64) - old
    if not np.isfinite(change).all() or not change.any():
        return None
    for guess in _guesses(change, old):
        codes = np.rint(change / guess)
        if np.abs(codes).max() >= MAX_CODE or not codes.any():
            continue
        refined = float((change * codes).sum() / np.square(codes).sum())
        for step in _near(refined):
            if not 0 < step < np.inf:
                continue
            codes = np.rint(change / float(step))
            if np.abs(codes).max() < MAX_CODE and _same(moved(old, codes, step), new):
                return step, codes.astype("<i2")
    return None


def _guesses(change: npt.NDArray[np.float64], old: Weights) -> Iterator[float]:
    """Steps of which changes are multiples, the largest first, as seen where the old number is small and rounding took little away."""
    changed = np.flatnonzero(change)
    precise = changed[np.argsort(np.abs(old[changed]), kind="stable")[:_PRECISE]]
    sizes = np.abs(change[precise])
    least = float(sizes.min())
    for smallest_code in range(1, _SMALLEST_CODES + 1):
        multiples = sizes * (smallest_code / least)
        if np.abs(multiples - np.rint(multiples)).max() <= 0.1:
            yield float((sizes * np.rint(multiples)).sum() / np.square(np.rint(multiples)).sum())


def _near(step: float) -> Iterator[np.float32]:
    """Steps that a publisher may have meant, the roundest first: float16, bfloat16, then float32 and its neighbours."""
    with np.errstate(all="ignore"):
        yield np.float32(np.float16(step))
    exact = np.float32(step)
    pattern = int(exact.view(np.uint32))
    yield np.uint32((pattern + 0x8000) & 0xFFFF0000).view(np.float32)
    for distance in sorted(range(-_NEIGHBOURS, _NEIGHBOURS + 1), key=abs):
        yield np.uint32(max(pattern + distance, 0)).view(np.float32)


def _same(one: Weights, other: Weights) -> bool:
    return bool((one.view(np.uint32) == other.view(np.uint32)).all())

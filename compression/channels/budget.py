"""As many channels out of a net as a budget of multiply-accumulates asks for. No torch."""

from onnx import ModelProto

from benchmarks.errors import BenchmarkError
from benchmarks.static_cost import static_cost_of
from compression.channels.binding import Binding
from compression.channels.importance import Importance, least
from compression.channels.removal import without
from compression.errors import ModelUnusable


def macs_of(model: ModelProto) -> int:
    """Multiply-accumulates of one inference, as the ruler counts them; open dimensions count as 1.

    Raises:
        ModelUnusable: the ruler cannot count them.
    """
    try:
        cost = static_cost_of(model)
    except BenchmarkError as error:
        raise ModelUnusable(f"its cost cannot be counted: {error}") from error
    if cost.ops_uncounted:
        raise ModelUnusable(f"multiply-accumulates of {', '.join(cost.ops_uncounted)} cannot be counted")
    return sum(cost.macs.values())


def within_macs(
    model: ModelProto, binding: Binding, importance: Importance, most: int, *, multiple_of: int = 1
) -> ModelProto:
    """`model` with the fewest of its least important channels removed that bring it to at most `most` multiply-accumulates.

    Raises:
        ModelUnusable: not even the smallest net that leaves no layer empty is within them; the message names what cannot be smaller.
    """
    low, high = 0, len(binding.removable)

    def smaller(count: int) -> ModelProto:
        return without(model, binding, least(binding, importance, count, multiple_of=multiple_of))

    smallest = macs_of(smaller(high))
    if smallest > most:
        fixed = ", ".join(layer.name for layer in binding.layers if not binding.removable_set.issuperset(layer.ids))
        raise ModelUnusable(
            f"{most} multiply-accumulates leave a layer empty: {smallest} is the least; channels that must stay are in {fixed or 'no layer'}"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if macs_of(smaller(middle)) <= most else (middle + 1, high)
    return smaller(high)

"""LSTM, GRU and RNN with ONNX's order of gates and their usual activations, step by step (ONNX LSTM-22, GRU-22, RNN-22)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from compression.onnx_torch.node import Call, Operator, Outputs

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


def _lstm(call: Call) -> Outputs:
    def cell(index: int, w: Tensor, r: Tensor, bias: Tensor) -> Step:
        peepholes = call.optional(7)
        pi, po, pf = (0.0, 0.0, 0.0) if peepholes is None else peepholes[index].chunk(3)
        wb, rb = bias.chunk(2)

        def step(x: Tensor, state: State) -> State:
            h, c = state
            i, o, f, g = (x @ w.T + h @ r.T + wb + rb).chunk(4, dim=-1)
            forget = 1 - torch.sigmoid(i + pi * c) if coupled else torch.sigmoid(f + pf * c)
            c = forget * c + torch.sigmoid(i + pi * c) * torch.tanh(g)
            return torch.sigmoid(o + po * c) * torch.tanh(c), c

        return step

    coupled = bool(call.integer("input_forget", 0))
    return _recurrent(call, cell, gates=4, states=2, usual=["Sigmoid", "Tanh", "Tanh"])


def _gru(call: Call) -> Outputs:
    def cell(index: int, w: Tensor, r: Tensor, bias: Tensor) -> Step:
        wb, rb = bias.chunk(2)
        hidden = r.shape[1]

        def step(x: Tensor, state: State) -> State:
            (h,) = state
            xz, xr, xh = (x @ w.T + wb).chunk(3, dim=-1)
            if after:
                hz, hr, hh = (h @ r.T + rb).chunk(3, dim=-1)
                reset = torch.sigmoid(xr + hr)
                new = torch.tanh(xh + reset * hh)
            else:
                hz, hr = (h @ r[: 2 * hidden].T + rb[: 2 * hidden]).chunk(2, dim=-1)
                reset = torch.sigmoid(xr + hr)
                new = torch.tanh(xh + (reset * h) @ r[2 * hidden :].T + rb[2 * hidden :])
            update = torch.sigmoid(xz + hz)
            return ((1 - update) * new + update * h,)

        return step

    after = bool(call.integer("linear_before_reset", 0))
    return _recurrent(call, cell, gates=3, states=1, usual=["Sigmoid", "Tanh"])


def _rnn(call: Call) -> Outputs:
    def cell(index: int, w: Tensor, r: Tensor, bias: Tensor) -> Step:
        wb, rb = bias.chunk(2)
        return lambda x, state: (torch.tanh(x @ w.T + state[0] @ r.T + wb + rb),)

    return _recurrent(call, cell, gates=1, states=1, usual=["Tanh"])


def _recurrent(
    call: Call,
    cell: Callable[[int, Tensor, Tensor, Tensor], Step],
    *,
    gates: int,
    states: int,
    usual: Sequence[str],
) -> Outputs:
    """Run `cell` over time in the directions of the node; x is [time, batch, input], or [batch, time, input] with layout 1."""
    x, w, r = call.tensor(0), call.tensor(1), call.tensor(2)
    direction = call.text("direction", "forward")
    reverse = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    _refuse_what_is_not_usual(call, [*usual] * len(reverse))
    batch_first = bool(call.integer("layout", 0))
    x = x.transpose(0, 1) if batch_first else x
    batch, hidden = x.shape[1], r.shape[2]
    given = call.optional(3)
    bias = x.new_zeros(len(reverse), 2 * gates * hidden) if given is None else given
    initial = []
    for place in range(states):
        start = call.optional(5 + place)
        if start is None:
            start = x.new_zeros(len(reverse), batch, hidden)
        elif batch_first:
            start = start.transpose(0, 1)
        initial.append(start)
    lengths = call.optional(4)
    sequences, finals = [], []
    for index, backwards in enumerate(reverse):
        step = cell(index, w[index], r[index], bias[index])
        hiddens, last = _over_time(step, x, tuple(state[index] for state in initial), lengths, backwards=backwards)
        sequences.append(hiddens)
        finals.append(last)
    y = torch.stack(sequences, dim=1)  # [time, directions, batch, hidden]
    ends = [torch.stack([final[place] for final in finals]) for place in range(states)]
    if batch_first:
        return (y.permute(2, 0, 1, 3), *(end.transpose(0, 1) for end in ends))
    return (y, *ends)


def _over_time(step: Step, x: Tensor, state: State, lengths: Tensor | None, *, backwards: bool) -> tuple[Tensor, State]:
    """Hidden states [time, batch, hidden] and the last state; past a sequence's length nothing changes and the output is 0."""
    out: list[Tensor] = []
    for time in reversed(range(len(x))) if backwards else range(len(x)):
        now = step(x[time], state)
        shown = now[0]
        if lengths is not None:
            alive = (time < lengths)[:, None]
            now = tuple(torch.where(alive, new, old) for new, old in zip(now, state, strict=True))
            shown = torch.where(alive, shown, torch.zeros_like(shown))
        state = now
        out.append(shown)
    return torch.stack(out[::-1] if backwards else out), state


def _refuse_what_is_not_usual(call: Call, usual: Sequence[str]) -> None:
    given = call.node.attributes.get("activations")
    if given is not None and [name.decode() for name in given] != list(usual):
        raise call.node.unusable(f"activations {b', '.join(given).decode()} are not supported, only {', '.join(usual)}")
    if "clip" in call.node.attributes:
        raise call.node.unusable("clip is not supported")


OPERATORS: dict[str, Operator] = {"GRU": _gru, "LSTM": _lstm, "RNN": _rnn}

"""Many MLPs of one shape trained as one: every parameter carries a leading `run` axis."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

WHOLE = {torch.bfloat16: torch.int16, torch.float32: torch.int32}  # numbers of the same width


class DropoutNoise:
    """Dropout masks for a stack of runs: each run draws from its own generator and has its own rate.

    One random byte decides one unit, so a rate is met to 1/256; the scale uses the rate that is really applied, and
    the expected activation is exact. Bytes are drawn for many steps at a time: a draw per run and step costs more than
    the masks do. How many depends on the run's own shape only, so a run alone sees the same masks.
    """

    bytes_ahead = 1 << 22  # per run: random bytes drawn in one go

    def __init__(
        self, generators: Sequence[torch.Generator], rates: Sequence[float], device: torch.device | None = None
    ) -> None:
        """`generators` and `rates` (probability of dropping a unit, below 1) hold one entry per run.

        device: where the units are, if it is not where generators draw.
        """
        self.generators = list(generators)
        self.device = self.generators[0].device if device is None else device
        self.given: UInt8[Tensor, "run count"] | None = None  # a step's bytes, where they are drawn before it
        self.taken = 0  # bytes per run
        dropped = [min(round(rate * 256), 255) for rate in rates]  # of 256 byte values; 256 would leave no unit
        self.active = any(dropped)
        self.threshold = torch.tensor(dropped, dtype=torch.int16, device=self.device)[:, None, None]
        self.scale = 256 / (256 - self.threshold.float())
        self.spare = torch.empty(len(self.generators), 0, dtype=torch.uint8, device=self.device)

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs (positions in the stack) only."""
        index = torch.tensor(list(runs), device=self.device)
        self.generators = [self.generators[run] for run in runs]
        self.threshold, self.scale, self.spare = self.threshold[index], self.scale[index], self.spare[index]
        self.active = bool(self.threshold.any())

    def _bytes(self, count: int) -> UInt8[Tensor, "run count"]:
        self.taken += count
        if self.given is None:
            return self.draw(count)
        taken, self.given = self.given[:, :count], self.given[:, count:]
        return taken

    def draw(self, count: int) -> UInt8[Tensor, "run count"]:
        """Random bytes."""
        if self.spare.shape[1] < count:
            words = max(self.bytes_ahead, count) // 8 + 1
            fresh = torch.empty(len(self.generators), words, dtype=torch.int64, device=self.generators[0].device)
            for row, generator in zip(fresh, self.generators, strict=True):
                row.random_(-(2**63), None, generator=generator)
            self.spare = fresh.view(torch.uint8).to(self.device)
        taken, self.spare = self.spare[:, :count], self.spare[:, count:]
        return taken

    def __call__(self, units: Float[Tensor, "run batch width"]) -> Float[Tensor, "run batch width"]:
        """Zero each unit with its run's rate and scale the others up, so that the mean stays."""
        if not self.active:
            return units
        runs, batch, width = units.shape
        whole = WHOLE[units.dtype]
        below = (self.threshold - 1).to(whole) - self._bytes(batch * width).view(runs, batch, width).to(whole)
        # Where a unit stays, a sign in all bits lets its scale through: a processor makes floats of bools one by one.
        kept = below.bitwise_right_shift_(8 * whole.itemsize - 1).bitwise_and_(self.scale.to(units.dtype).view(whole))
        return units * kept.view(units.dtype)


def stacked_linear(
    inputs: Tensor,
    weight: Float[Tensor, "run in out"],  # noqa: F821  "in" makes it look like code
    bias: Float[Tensor, "run out"],
) -> Float[Tensor, "run batch out"]:
    """A linear layer per run.

    `inputs` is [run, batch, in], or [batch, in], shared by all runs: then it is one product [batch, in] x
    [in, run * out], without a copy of the inputs per run.
    """
    if inputs.ndim == 3:
        return torch.baddbmm(bias[:, None], inputs, weight)
    wide = torch.addmm(bias.flatten(), inputs, weight.transpose(0, 1).flatten(1))
    return wide.view(inputs.shape[0], *bias.shape).transpose(0, 1)


def drawn(fan_in: int, fan_out: int, generators: Sequence[torch.Generator]) -> tuple[nn.Parameter, nn.Parameter]:
    """A layer's weights [run, in, out] and biases [run, out], each run's from its own generator, as `nn.Linear` draws
    them: uniform in ±1/sqrt(in)."""
    both = torch.stack([torch.rand(fan_in + 1, fan_out, generator=generator) for generator in generators])
    both.mul_(2).sub_(1).div_(math.sqrt(max(fan_in, 1)))
    return nn.Parameter(both[:, :-1].contiguous()), nn.Parameter(both[:, -1].contiguous())


class StackedLinear(nn.Module):
    """A linear layer per run, in the precision of the products; what a head projects its vectors with."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight, self.bias = drawn(inputs, outputs, generators)

    def forward(self, vec: Tensor) -> Float[Tensor, "run batch outputs"]:
        """Of [batch, inputs], shared by all runs, or of [run, batch, inputs]."""
        return stacked_linear(vec, self.weight, self.bias)


class StackedMLP(nn.Module):
    """`depth` hidden layers of `hidden` ReLU units with dropout, and one logit (or more `outputs`); one MLP per run.

    Weights are [run, in, out], as `drawn` gives them.
    """

    def __init__(
        self, inputs: int, hidden: int, depth: int, generators: Sequence[torch.Generator], outputs: int = 1
    ) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * depth + [outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(widths):
            weight, bias = drawn(fan_in, fan_out, generators)
            self.weights.append(weight)
            self.biases.append(bias)

    def forward(self, vec: Tensor, noise: DropoutNoise | None = None) -> Float[Tensor, "run batch"]:
        """Logits of [batch, inputs] shared by all runs, or of [run, batch, inputs]; dropout where `noise` is given."""
        return self.scores(vec, noise).squeeze(2)

    def scores(
        self, vec: Tensor, noise: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "run batch outputs"]:
        """All outputs; `noise` is what drops hidden units."""
        return self.outputs(self.hidden(vec, noise), noise)

    def hidden(
        self, vec: Tensor, noise: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "*run batch hidden"]:
        """The last hidden layer before its ReLU; `vec` itself where there is none."""
        units = vec
        for layer, (weight, bias) in enumerate(zip(self.weights[:-1], self.biases[:-1], strict=True)):
            units = stacked_linear(_rectified(units, noise) if layer else units, weight, bias)
        return units

    def outputs(
        self, hidden: Tensor, noise: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "run batch outputs"]:
        """All outputs of what `hidden` has given."""
        units = _rectified(hidden, noise) if len(self.weights) > 1 else hidden
        # The last layer stays in float32: bfloat16 logits would tie memes that differ.
        with torch.autocast(hidden.device.type, enabled=False):
            return stacked_linear(units.float(), self.weights[-1], self.biases[-1])


def _rectified(units: Tensor, noise: Callable[[Tensor], Tensor] | None) -> Tensor:
    return torch.relu(units) if noise is None else noise(torch.relu(units))

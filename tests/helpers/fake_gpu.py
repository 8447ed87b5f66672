"""A GPU that is not there: tensors that have a device, a shape and no values (torch's FakeTensorMode).

What a GPU refuses is refused: operands of two devices, and values that the interpreter asks for.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

# a GPU has to wait for these, whose answer decides what is launched next, or how large a tensor is
WAITS = {"aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten.is_nonzero"}


class Waits(TorchDispatchMode):
    """Counts what a GPU would be waited for with, copies from and to it among them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, operator, types, given=(), named=None):
        named = named or {}
        name = operator.overloadpacket._qualified_op_name.replace("::", ".")
        by_mask = name == "aten.index" and any(i is not None and i.dtype == torch.bool for i in given[1])
        moved = name == "aten._to_copy" and torch.device(named.get("device") or "cuda").type != given[0].device.type
        if name in WAITS or by_mask or (moved and named.get("device") and not named.get("non_blocking")):
            self.seen[name] += 1
        return operator(*given, **named)


class Generator(torch.Generator):
    """One that says that it draws on a GPU."""

    def __new__(cls, device: str | torch.device = "cpu") -> "Generator":
        self = super().__new__(cls)
        self.said = torch.device(device)
        return self

    def __init__(self, device: str | torch.device = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:
        return self.said


def apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """As nn.Module._apply, which cannot change an ordinary tensor into one without values."""
    for each in module.modules():
        for name, param in each._parameters.items():
            if param is not None:
                each._parameters[name] = nn.Parameter(change(param.detach()), requires_grad=param.requires_grad)
        for name, buffer in each._buffers.items():
            if buffer is not None:
                each._buffers[name] = change(buffer)
    return module


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch, *modules: nn.Module) -> Iterator[None]:
    """Within, "cuda" can be computed on, as far as shapes go. modules: already there, whose values are taken away."""
    monkeypatch.setattr(nn.Module, "_apply", apply)
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    # the engine of autograd asks the driver
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, params: [torch.zeros_like(param) for param in params])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for module in modules:
            apply(module, mode.from_tensor)
        yield

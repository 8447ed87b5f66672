"""A saved head as files that need memefuse no more: vectors in, predict's probability of label 1 out.

head.py and head.pt need torch alone, estimator.py scikit-learn besides; head.onnx is for whatever runs ONNX. All come
from one traced program (torch.export), so that a head of any kind goes along, and is written down step by step.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.fx import Node

from experiments.results.models import SavedHead
from extract.errors import Failed, Refused
from extract.files import write_text
from heads.metrics import probabilities
from heads.models import HEADS

MOST_BYTES = 2**31 - 2**20  # of tensors in an ONNX file; the rest is for its steps
CHECKS = "_assert_tensor_metadata"  # of the trace, not of the head

MODULE = '''\
"""The head {head} of memefuse's run {run}: vectors in, probability of label 1 out. Needs torch alone.

from head import Head
Head()(text_vec, image_vec)  # [n, {text}] and [n, {image}] float32, as the encoders give them -> [n] float64
"""

{imports}from pathlib import Path

import torch

aten = torch.ops.aten
AT_ONCE = 1024  # memes: what is made of them on the way lies in memory
THRESHOLD = {threshold!r}  # label 1 from this probability on; tuned on dev


class Head(torch.nn.Module):
    def __init__(self, weights=Path(__file__).with_name("head.pt")):
        super().__init__()
        for name, tensor in torch.load(weights, weights_only=True).items():
            self.register_buffer(name, tensor)

    def forward(self, text_vec, image_vec):
        each = zip(text_vec.split(AT_ONCE), image_vec.split(AT_ONCE), strict=True)
        return torch.cat([self.probability(*both) for both in each])

    def probability(self, text_vec, image_vec):
{steps}
'''

ESTIMATOR = '''\
"""The head {head} as a scikit-learn classifier. Needs head.py, head.pt, torch, numpy and scikit-learn.

from estimator import HeadClassifier
HeadClassifier().predict_proba(X)  # X: [n, {text} + {image}], text vectors and image vectors side by side
"""

from functools import cache

import numpy as np
import torch
from head import THRESHOLD, Head
from sklearn.base import BaseEstimator, ClassifierMixin

head = cache(Head)  # reads head.pt


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """Trained already: `fit` changes nothing. Labels are 0 and 1."""

    text_dim, n_features_in_, classes_ = {text}, {text} + {image}, np.array([0, 1])

    def __init__(self, threshold=THRESHOLD):
        self.threshold = threshold

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        vec = torch.as_tensor(np.asarray(X, dtype=np.float32))
        with torch.no_grad():
            one = head()(vec[:, : self.text_dim], vec[:, self.text_dim :]).numpy()
        return np.stack([1 - one, one], axis=1)

    def predict(self, X):
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(int)
'''


class WholeHead(nn.Module):
    """All that predict does between vectors and a probability: scaling, every run, temperature, their mean."""

    temperature: Tensor
    text_mean: Tensor
    text_divisor: Tensor
    image_mean: Tensor
    image_divisor: Tensor

    def __init__(self, saved: SavedHead) -> None:
        super().__init__()
        self.kind = HEADS[saved.name]
        self.stacks = nn.ModuleList(stack for _, stack in saved.fitted.stacks)
        self.traced = [stack.traced() for _, stack in saved.fitted.stacks]
        order = [run for members, _ in saved.fitted.stacks for run in members]
        self.register_buffer("temperature", saved.temperature[order])
        for side, scale in zip(("text", "image"), saved.fitted.scaling, strict=True):
            self.register_buffer(f"{side}_mean", scale.mean)
            self.register_buffer(f"{side}_divisor", scale.divisor)

    def forward(
        self, text_vec: Float[Tensor, "meme text_dim"], image_vec: Float[Tensor, "meme image_dim"]
    ) -> Float[Tensor, " meme"]:
        text, image = self.kind.seen(text_vec, image_vec)
        text, image = (text - self.text_mean) / self.text_divisor, (image - self.image_mean) / self.image_divisor
        logit = torch.cat([traced(text, image) for traced in self.traced])
        return probabilities(logit, self.temperature).mean(dim=0)


def trace(saved: SavedHead) -> torch.export.ExportedProgram:
    """Return a head as a program for any number of memes. Raises Failed for a head that torch cannot trace."""
    vectors = tuple(torch.zeros(3, saved.encoders[side].dim) for side in ("text", "image"))
    memes = torch.export.Dim("memes")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about the tracer's own future
            whole, any_number = WholeHead(saved).eval(), ({0: memes}, {0: memes})
            program = torch.export.export(whole, vectors, dynamic_shapes=any_number, strict=False)
            return program.run_decompositions({})  # none: predict's own steps round as predict does
    except Exception as error:  # torch's own kinds, many
        reason = str(error).strip().split("\n")[0]
        raise Failed(f"the head {saved.name} cannot be exported: {type(error).__name__}: {reason}") from None


def tensors(program: torch.export.ExportedProgram) -> dict[str, Tensor]:
    """Return the tensors that the program reads, by their names in it."""
    inputs = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    used = {node.name for node in program.graph.nodes if node.users}
    return {name: program.state_dict[key].detach() for name, key in inputs.items() if name in used}


def refuse_large(saved: SavedHead, program: torch.export.ExportedProgram) -> None:
    """Raise Refused where a head's tensors are more than one ONNX file holds."""
    named, buffers = tensors(program), program.graph_signature.inputs_to_buffers
    size = sum(tensor.nbytes for tensor in named.values())
    memory = sum(tensor.nbytes for name, tensor in named.items() if buffers.get(name, "").startswith("stacks."))
    if size > MOST_BYTES:
        of_it = f", {memory / 1e9:.2f} of it for {len(saved.known.ids):,} memes in each run" if saved.known else ""
        raise Refused(
            f"--formats onnx: an ONNX file has 2 GB at the most, and the head {saved.name} would take "
            f"{size / 1e9:.2f} GB{of_it}. Leave onnx out, or compare again with fewer --seeds or a smaller --hidden."
        )


def write_torch(out: Path, program: torch.export.ExportedProgram, about: dict[str, Any]) -> None:
    """Write head.pt, its tensors, and head.py, its steps. about: what the file says of itself."""
    named = tensors(program)
    torch.save({name: tensor.clone().contiguous() for name, tensor in named.items()}, out / "head.pt")
    steps = "\n".join(f"        {line}" for node in program.graph.nodes if (line := step(node, named)))
    imports = "import operator\n" if "operator." in steps else ""
    write_text(out / "head.py", MODULE.format(imports=imports, steps=steps, **about))


def step(node: Node, tensors: dict[str, Tensor]) -> str:
    """Return a step of the program as a line of Python; empty for what is none."""

    def said(value: Any) -> str:
        if isinstance(value, Node):
            return f"self.{value.name}" if value.name in tensors else value.name
        if isinstance(value, torch.device):
            return "text_vec.device"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(said, value))}]"
        return repr(value)

    if node.op == "output":
        outputs: Any = node.args[0]
        return f"return {said(outputs[0])}"
    if node.op != "call_function" or CHECKS in str(node.target):
        return ""
    words = [*map(said, node.args), *(f"{name}={said(value)}" for name, value in node.kwargs.items())]
    target = str(node.target)
    if not target.startswith("aten."):  # Python's own: what takes one of a pair
        target = f"operator.{getattr(node.target, '__name__', target)}"
    return f"{node.name} = {target}({', '.join(words)})"


def write_sklearn(out: Path, about: dict[str, Any]) -> None:
    write_text(out / "estimator.py", ESTIMATOR.format(**about))


def write_onnx(out: Path, program: torch.export.ExportedProgram) -> None:
    """Write head.onnx: text_vec and image_vec in, probability out."""
    inputs, outputs = ["text_vec", "image_vec"], ["probability"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = out / "head.onnx"
        torch.onnx.export(program, f=path, input_names=inputs, output_names=outputs, external_data=False, verbose=False)

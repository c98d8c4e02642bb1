"""The calls that threads and tasks make on a shared model.

A call is a generator that returns tensors. It yields where a task may let others run; a thread runs it to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import timm_mergemix as mm

from ..census.inputs import Input, tensor
from ..tiny import CLASSES
from .modes import Modes

Run = Generator[None, None, list[Tensor]]
Options = dict[str, Any]

BASE_R = 2
MERGING: list[Options] = [
    {"r": 0},
    {"r": 1},
    {"r": ("keep", 0.5)},
    {"r": ("decreasing", 2), "prop_attn": False},
    {"prop_attn": False},
    {"matching": "pitome"},
    {"r": 3, "matching": "kth"},
]
RECORDED: list[Options] = [{}, {"r": 1}]
SALIENCY: list[Options] = [
    {},
    {"r": 0},
    {"r": 1, "layer": 0},
    {"r": ("keep", 0.5), "layer": -1, "divide": False},
    {"r": 1, "scale": 0.5},
]


@dataclass(frozen=True)
class Call:
    """A call on a shared model.

    Attributes:
        kind: Its kind; results are counted per kind.
        run: Starts the call on a model.
        reference: A function with the correct result, if ``run`` itself may be wrong.
    """

    kind: str
    run: Callable[[nn.Module], Run]
    reference: Callable[[nn.Module], Run] | None = None


def finish(run: Run) -> list[Tensor]:
    """Runs a call to its end and returns its result."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def reading_calls(inputs: list[Input], seed: int) -> Iterator[Call]:
    """Calls without gradients: inference, temporary settings, recordings, saliency and mixes."""
    for x in inputs:
        yield Call("inference", partial(inference, x=x))
        yield Call("merging, nested", partial(nested, x=x))
        for options in MERGING:
            yield Call("merging", partial(merging, x=x, options=options))
        for options in RECORDED:
            yield Call("record", partial(recording, x=x, options=options))
        if isinstance(x, Tensor):
            for options in SALIENCY:
                yield Call("saliency", partial(saliency, x=x, options=options))
            for mode in ("batch", "elem"):
                yield Call("mix", partial(mix, x=x, mode=mode, seed=seed))


def training_calls(inputs: list[Input], seed: int, modes: Modes) -> Iterator[Call]:
    """Calls with gradients."""
    for x in inputs:
        yield Call("training", partial(training, x=x, modes=modes))
        if isinstance(x, Tensor):
            for where in ("winner", "separate"):
                yield Call("preference", partial(preference, x=x, where=where, seed=seed, modes=modes))


def crossed_calls(inputs: list[Input]) -> Iterator[Call]:
    """Calls whose contexts overlap: the first to begin is the first to end."""
    for x in inputs:
        yield Call("merging, crossed", partial(crossed, x=x), partial(uncrossed, x=x))


def inference(model: nn.Module, x: Input) -> Run:
    """Runs a forward pass."""
    yield
    return [_output(model, x)]


def merging(model: nn.Module, x: Input, options: Options) -> Run:
    """Runs two forward passes with temporary settings, and one after them."""
    with mm.merging(model, **options):
        yield
        first = _output(model, x)
        yield
        second = _output(model, x)
        yield
    return [first, second, _output(model, x)]


def nested(model: nn.Module, x: Input) -> Run:
    """Nests temporary settings."""
    with mm.merging(model, r=0):
        yield
        with mm.merging(model, r=1):
            yield
            inner = _output(model, x)
        yield
        return [inner, _output(model, x)]


def crossed(model: nn.Module, x: Input) -> Run:
    """Two settings of which the first ends first: the second holds until it ends, then the model's own do."""
    found = []
    with ExitStack() as second:
        with ExitStack() as first:
            first.enter_context(mm.merging(model, r=0))
            yield
            second.enter_context(mm.merging(model, r=1))
            found.append(_output(model, x))
        yield
        found.append(_output(model, x))
    yield
    return [*found, _output(model, x)]


def uncrossed(model: nn.Module, x: Input) -> Run:
    """Computes the correct result of `crossed`."""
    yield
    with mm.merging(model, r=1):
        found = _output(model, x)
    return [found, found, _output(model, x)]


def recording(model: nn.Module, x: Input, options: Options) -> Run:
    """Records two forward passes, with another one that is not recorded."""
    with mm.merging(model, **options):
        with mm.record(model) as rec:
            yield
            outputs = [_output(model, x)]
            yield
            outputs.append(_output(model, x))
            yield
        outputs.append(_output(model, x))
    parts = ((layer.source, layer.size, layer.attention) for forward in rec.forwards for layer in forward)
    return [*outputs, *(part for layer in parts for part in layer if part is not None)]


def saliency(model: nn.Module, x: Tensor, options: Options) -> Run:
    """Computes a saliency map."""
    yield
    return [mm.saliency_map(model, x, **options)]


def mix(model: nn.Module, x: Tensor, mode: str, seed: int) -> Run:
    """Mixes a batch with its own generator."""
    mixer = _mixer(model, seed, mode=mode)
    yield
    batch = mixer.mix(x, _labels(x))
    return [batch.images, batch.targets]


def training(model: nn.Module, x: Input, modes: Modes) -> Run:
    """Computes the gradients of all parameters as one tensor, without writing to ``.grad``."""
    yield
    with modes.watched():
        out = tensor(model(x))
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    yield
    return [out.detach(), _gradients(model, (out * weights).sum())]


def preference(model: nn.Module, x: Tensor, where: str, seed: int, modes: Modes) -> Run:
    """Computes the logits and gradients of a step with the preference for clean images."""
    step = mm.PreferenceStep(model, _mixer(model, seed), mm.PreferenceLoss(), saliency=where)
    yield
    # A separate saliency pass is the only forward pass that should run in eval mode.
    with modes.watched(where == "winner"):
        found = step(x, _labels(x))
    yield
    return [found.logits.detach(), found.batch.images, _gradients(model, found.terms.total)]


@torch.no_grad()
def _output(model: nn.Module, x: Input) -> Tensor:
    return tensor(model(x))


def _gradients(model: nn.Module, loss: Tensor) -> Tensor:
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


def _mixer(model: nn.Module, seed: int, **options: Any) -> mm.MergeMix:
    # Always MergeMix, because the other blends do not use a model.
    generator = torch.Generator().manual_seed(seed)
    return mm.MergeMix(model, CLASSES, mergemix_prob=1.0, generator=generator, **options)


def _labels(x: Tensor) -> Tensor:
    return torch.arange(len(x)) % CLASSES

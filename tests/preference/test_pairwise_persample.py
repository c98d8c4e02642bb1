"""Pairwise losses give the same results under vmap, in forward mode, compiled and with fake tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, jvp, vmap

from timm_mergemix.functional import dpo_loss, hinge_loss, label_logp, sequence_logp, simpo_loss

from ..mix.batches import noise

B, WINNER, LOSER, WORDS = 3, 5, 4, 7
LOGP = [-noise(B, length, seed=seed).abs() for seed, length in enumerate((WINNER, LOSER, WINNER, LOSER))]
MASKS = [noise(B, length, seed=seed) > -0.5 for seed, length in enumerate((WINNER, LOSER))]
MARGIN = torch.tensor([0.1, 0.5, 0.0])

Loss = Callable[..., Tensor]


def simpo(winner: Tensor, loser: Tensor, rw: Tensor, rl: Tensor, margin: Tensor, wm: Tensor, lm: Tensor) -> Tensor:
    return simpo_loss(winner, loser, margin, 2.0, winner_mask=wm, loser_mask=lm)


def hinge(winner: Tensor, loser: Tensor, rw: Tensor, rl: Tensor, margin: Tensor, wm: Tensor, lm: Tensor) -> Tensor:
    return hinge_loss(winner, loser, margin, 2.0, winner_mask=wm, loser_mask=lm)


def dpo(winner: Tensor, loser: Tensor, rw: Tensor, rl: Tensor, margin: Tensor, wm: Tensor, lm: Tensor) -> Tensor:
    return dpo_loss(winner, loser, rw, rl, margin, 2.0, winner_mask=wm, loser_mask=lm)


def of_tokens(logits: Tensor, tokens: Tensor) -> Tensor:
    return sequence_logp(logits, tokens)


LOSSES = [simpo, hinge, dpo]
INPUTS = (*LOGP, MARGIN, *MASKS)


def one(loss: Loss) -> Loss:
    """The loss of one pair, without a batch axis."""
    return lambda *inputs: loss(*(value.unsqueeze(0) for value in inputs)).squeeze(0)


@pytest.mark.parametrize("loss", LOSSES)
def test_vmap_gives_the_same_losses_as_a_batch(loss: Loss) -> None:
    torch.testing.assert_close(vmap(one(loss))(*INPUTS), loss(*INPUTS))


@pytest.mark.parametrize("loss", LOSSES)
def test_per_sample_gradients_match_those_of_the_batch(loss: Loss) -> None:
    winner = LOGP[0].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(winner, *INPUTS[1:]).sum(), winner)
    torch.testing.assert_close(vmap(grad(one(loss)))(*INPUTS), wanted)


@pytest.mark.parametrize("loss", LOSSES)
def test_forward_mode_agrees_with_backward(loss: Loss) -> None:
    direction = noise(B, WINNER, seed=9)

    def total(winner: Tensor) -> Tensor:
        return loss(winner, *INPUTS[1:]).sum()

    _, forward = jvp(total, (LOGP[0],), (direction,))
    torch.testing.assert_close(forward, (grad(total)(LOGP[0]) * direction).sum(), check_dtype=False)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_compile_as_one_graph(loss: Loss) -> None:
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(loss, fullgraph=True, backend="eager")(*INPUTS), loss(*INPUTS))


@pytest.mark.parametrize("loss", LOSSES)
def test_fake_tensors_are_accepted(loss: Loss) -> None:
    with FakeTensorMode() as mode:
        assert loss(*map(mode.from_tensor, INPUTS)).shape == (B,)


LOGITS = {"label": noise(B, WORDS), "sequence": noise(B, WINNER, WORDS)}
ANSWERS = {"label": torch.tensor([0, 6, 3]), "sequence": torch.randint(-1, WORDS, (B, WINNER))}
LOGPS = {"label": label_logp, "sequence": of_tokens}


@pytest.mark.parametrize("kind", LOGPS)
def test_log_probabilities_agree_under_vmap_compiled_and_with_fake_tensors(kind: str) -> None:
    function, inputs = LOGPS[kind], (LOGITS[kind], ANSWERS[kind])
    wanted = function(*inputs)
    torch.testing.assert_close(vmap(one(function))(*inputs), wanted)
    gradients = vmap(grad(lambda x, answer: one(function)(x, answer).sum()))(*inputs)
    torch.testing.assert_close(gradients, grad(lambda x: function(x, inputs[1]).sum())(inputs[0]))
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(function, fullgraph=True, backend="eager")(*inputs), wanted)
    with FakeTensorMode() as mode:
        assert function(*map(mode.from_tensor, inputs)).shape == wanted.shape

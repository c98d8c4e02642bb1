"""Batches of questions for tiny vision-language models of transformers, and training steps for them."""

from __future__ import annotations

import torch

from timm_mergemix.vlm import ImageMixer, SequencePreferenceStep

from ..merge.vlm.models import BUILDERS, prompts
from .made import seeded

# Token ids of the answers of a batch, all different and of several lengths.
ANSWERS = ((30, 31), (32,), (33, 34, 35), (36, 37))


def questions(images=(1, 1, 1, 1), answers=ANSWERS, name="llava", left=True, seed=0):
    """A batch with labels. The last tokens of a row are its answer, which may be empty."""
    made = prompts(name, list(images), left=left, seed=seed)
    made["labels"] = torch.full_like(made["input_ids"], -100)
    for row, answer in enumerate(answers[: len(images)]):
        places = made["attention_mask"][row].nonzero().squeeze(1)[-len(answer) or len(made["labels"][row]) :]
        if answer:
            made["input_ids"][row, places] = made["labels"][row, places] = torch.tensor(answer)
    return made


def mixer_of(model, kind="mergemix", seed=0, **options):
    """A mixer that leaves out no answers, and whose own pass merges as the model does."""
    encoder = model if kind in ("mergemix", "random") else None
    settings = {"saliency_r": None, "leave_out": (), "generator": seeded(seed)} | options
    return ImageMixer(encoder, kind, **settings)


def step_of(model=None, loss=None, kind="mergemix", seed=0, saliency=None, reference=None, **options):
    """A step, by default on an unpatched LLaVA in eval mode."""
    model = BUILDERS["llava"]() if model is None else model
    mixer = mixer_of(model, kind, seed, **options)
    return SequencePreferenceStep(model, mixer, loss, saliency=saliency, reference=reference)


def without_labels(batch):
    return {name: value for name, value in batch.items() if name not in ("labels", "losers")}


def brought(losers, first=0):
    """Losers in the form in which a batch brings them; ``first`` is the offset of its rows in a larger batch."""
    return vars(losers) | {"rows": losers.rows + first}


def gradients(model, term):
    """The gradients of a term, as one vector."""
    found = torch.autograd.grad(term, list(model.parameters()), allow_unused=True, retain_graph=True)
    parts = zip(found, model.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in parts])


def answer_by_hand(logits, labels):
    """The log-probability of each token of each answer, in plain Python: position t - 1 predicts the token at t."""
    return [
        [logits[row, t - 1].log_softmax(0)[labels[row, t]] for t in range(1, labels.shape[1]) if labels[row, t] >= 0]
        for row in range(len(labels))
    ]


def counted(model):
    """Records the sizes of batches that go through the language model, and whether gradients are enabled."""
    sizes = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append((len(kwargs["inputs_embeds"]), torch.is_grad_enabled())),
        with_kwargs=True,
    )
    return sizes

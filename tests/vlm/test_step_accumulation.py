"""Steps under gradient accumulation, with given losers, and without pairs beside processes that have some."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix.vlm import Counts, SequencePreferenceLoss, SequencePreferenceStep
from timm_mergemix.vlm import step as step_module

from ..merge.vlm.models import llava
from .made import example
from .questions import brought, counted, gradients, questions, step_of

BOTH = ("winner", "separate")


def parts(batch):
    """Splits a batch in two."""
    return [{name: value[rows] for name, value in batch.items()} for rows in (slice(0, 1), slice(1, 4))]


def known(step):
    """Adds a picture of an earlier batch to the step's mixer, so that a batch of one has a partner."""
    step.mixer.pair([example(7, (99,), shape=(3, 32, 32))])
    return step


def accumulated(model, outputs):
    return sum(gradients(model, output.terms.total) for output in outputs)


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched"])
@pytest.mark.parametrize("saliency", BOTH)
def test_accumulated_batches_give_the_gradients_of_one_batch_with_the_same_pairs(saliency, patched):
    model = mm.patch(llava(), ("total", 8)) if patched else llava()
    loss = SequencePreferenceLoss(weight=0.7)
    step, batch = known(step_of(model, loss, saliency=saliency)), questions()
    paired, counts = step.pair(parts(batch))
    assert (int(counts.tokens), counts.pairs) == (8, 4)
    outputs = [step(each, counts) for each in paired]
    # The same losers for the whole batch at once.
    ready = [brought(out.losers, first) for out, first in zip(outputs, (0, 1), strict=True)]
    losers = {name: torch.cat([each[name] for each in ready]) for name in ("labels", "rows", "ratio")}
    losers["inputs"] = {name: torch.cat([each["inputs"][name] for each in ready]) for name in ready[0]["inputs"]}
    whole = SequencePreferenceStep(model, None, loss)(batch | {"losers": losers})
    for name in ("total", "answer", "preference"):
        got = sum(getattr(output.terms, name) for output in outputs)
        torch.testing.assert_close(got, getattr(whole.terms, name), rtol=1e-5, atol=1e-5)
    wanted = gradients(model, whole.terms.total)
    torch.testing.assert_close(accumulated(model, outputs), wanted, rtol=1e-3, atol=1e-4)
    # A mean of means gives different gradients.
    alone = [step(each | {"losers": mine}) for each, mine in zip(parts(batch), map_first(ready), strict=True)]
    assert not torch.allclose(accumulated(model, alone) / 2, wanted, rtol=1e-2, atol=1e-3)


def map_first(ready):
    """Losers of parts, with rows numbered from the start of each part."""
    return [each | {"rows": each["rows"] - first} for each, first in zip(ready, (0, 1), strict=True)]


def test_partners_of_later_batches_may_come_from_earlier_ones():
    step = step_of()
    paired, counts = step.pair([{name: value[k : k + 1] for name, value in questions().items()} for k in range(4)])
    assert [each.pairs for each in paired] == [0, 1, 1, 1] and counts.pairs == 3
    outputs = [step(each, counts) for each in paired]
    assert outputs[0].losers is None and all(output.losers is not None for output in outputs[1:])
    first = paired[0].inputs["pixel_values"][0]
    assert torch.equal(paired[1].pairing.partners[0].image, first)


def test_a_paired_batch_is_not_paired_again():
    step = step_of()
    paired, counts = step.pair([questions()])
    seen, state = step.mixer.seen, step.mixer.generator.get_state()
    terms = step(paired[0], counts).terms
    assert step.mixer.seen == seen == 4
    step.mixer.generator.set_state(state)
    torch.testing.assert_close(step(paired[0]).terms, terms)


def test_counts_cover_all_batches_and_exclude_first_tokens():
    step = step_of()
    batch = questions((1, 1), ((30, 31), (32,)))
    batch["labels"][0, 0] = 5
    _, counts = step.pair([batch, questions((2, 0), ((33, 34, 35), (36,)), seed=1)])
    assert (int(counts.tokens), counts.pairs) == (7, 2)
    assert step.pair([]) == ([], Counts(0, 0))


@pytest.mark.parametrize("saliency", BOTH)
def test_given_losers_have_the_same_terms_as_those_that_the_step_makes(saliency):
    model, batch = llava(), questions()
    output = step_of(model, saliency=saliency)(batch)
    again = SequencePreferenceStep(model, None)(batch | {"losers": brought(output.losers)})
    torch.testing.assert_close(again.terms, output.terms, rtol=1e-4, atol=1e-5)
    wanted = gradients(model, output.terms.total)
    torch.testing.assert_close(gradients(model, again.terms.total), wanted, rtol=1e-3, atol=1e-4)


def test_given_losers_may_have_any_order_and_other_padding():
    model, batch = llava(), questions()
    losers = brought(step_of(model)(batch).losers)
    order = torch.tensor([2, 0])
    some = {name: losers[name][order] for name in ("labels", "rows", "ratio")}
    some["inputs"] = {name: value[order] for name, value in losers["inputs"].items()}
    wanted = SequencePreferenceStep(model, None)(batch | {"losers": some})
    padded = some | {"labels": torch.nn.functional.pad(some["labels"], (5, 0), value=-100)}
    padded["inputs"] = dict(some["inputs"])
    for name in ("input_ids", "attention_mask"):
        padded["inputs"][name] = torch.nn.functional.pad(some["inputs"][name], (5, 0))
    got = SequencePreferenceStep(model, None)(batch | {"losers": padded})
    torch.testing.assert_close(got.terms, wanted.terms, rtol=1e-4, atol=1e-5)
    assert got.losers.rows.tolist() == [2, 0] and got.terms.sums.pairs == 2


def test_a_batch_may_bring_an_empty_set_of_losers():
    model = llava()
    sizes = counted(model)
    none = {"inputs": {}, "labels": torch.empty(0, 0).long(), "rows": torch.empty(0).long(), "ratio": torch.empty(0)}
    output = SequencePreferenceStep(model, None)(questions() | {"losers": none})
    assert sizes == [(4, True)] and output.losers is None and output.terms.total == output.terms.answer


def test_given_losers_are_counted_as_pairs():
    model, batch = llava(), questions()
    ready = brought(step_of(model)(batch).losers)
    _, counts = SequencePreferenceStep(model, None).pair([batch | {"losers": ready}, batch | {"losers": ready}])
    assert (int(counts.tokens), counts.pairs) == (16, 8)


class Patches(nn.Module):
    """A model whose processor makes patches, a variable number of rows per image."""

    def __init__(self):
        super().__init__()
        self.pixels, self.head = nn.Linear(2, 7), nn.Embedding(7, 7)

    def forward(self, input_ids, patches, grid):
        images = torch.stack([part.mean(dim=0) for part in patches.split(grid.tolist())])
        return type("Output", (), {"logits": self.head(input_ids) + self.pixels(images).unsqueeze(1)})


def test_given_losers_work_for_a_model_whose_images_are_patches():
    model = Patches()
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    labels = ids.masked_fill(torch.tensor([True, False, False]), -100)
    inputs = {"input_ids": ids, "patches": torch.rand(7, 2), "grid": torch.tensor([3, 4])}
    lost = {"input_ids": ids[1:], "patches": torch.rand(4, 2), "grid": torch.tensor([4])}
    losers = {"inputs": lost, "labels": labels[1:], "rows": torch.tensor([1]), "ratio": torch.tensor([0.5])}
    terms = SequencePreferenceStep(model, None)(inputs | {"labels": labels, "losers": losers}).terms
    first, second = (model(**each).logits.log_softmax(-1) for each in (inputs, lost))
    ahead = (first[1, 0, 5] + first[1, 1, 6] - second[0, 0, 5] - second[0, 1, 6]) / 2
    torch.testing.assert_close(terms.preference, nn.functional.softplus(0.5 - ahead))


@pytest.mark.parametrize("saliency", BOTH)
def test_a_process_without_pairs_runs_a_dummy_pass_that_changes_nothing(saliency, monkeypatch):
    model, batch = llava(), questions((2, 0))
    alone = step_of(model, saliency=saliency)(batch)
    wanted = gradients(model, alone.terms.total)
    monkeypatch.setattr(step_module, "needs_pass", lambda model: True)
    sizes, step = counted(model), step_of(model, saliency=saliency)
    output = step(batch)
    assert sizes == ([(2, True), (2, True)] if saliency == "winner" else [(4, True)])
    assert output.losers is None and output.terms.preference == 0 and output.terms.sums.pairs == 0
    torch.testing.assert_close(output.terms.total, alone.terms.total)
    torch.testing.assert_close(gradients(model, output.terms.total), wanted, rtol=1e-4, atol=1e-6)
    sizes.clear()
    step_of(model, SequencePreferenceLoss(weight=0), saliency=saliency)(batch)
    assert sizes == [(2, True)]


def test_the_model_that_runs_decides_whether_a_dummy_pass_is_needed(monkeypatch):
    model, wrapped = llava(), nn.Identity()
    monkeypatch.setattr(step_module, "needs_pass", lambda asked: asked is wrapped)
    step = step_of(model)
    (paired,), _ = step.pair([questions((2, 0))])
    assert step.losers(paired) is None
    assert len(step.losers(paired, model=wrapped)) == 2

"""One training step: both saliency modes agree, and the loss matches its formula."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.vlm import SequencePreferenceLoss, SequencePreferenceStep

from ..merge.reference import Wrapper
from ..merge.vlm.models import BUILDERS, R, llava
from .made import KINDS
from .questions import answer_by_hand, brought, counted, gradients, mixer_of, questions, step_of, without_labels

BOTH = ("winner", "separate")
NAMES = ("fc1", "up_proj")  # a linear layer in the tower, and one in the language model


def built(name="llava", patched=False):
    model = BUILDERS[name]()
    return mm.patch(model, R[name]) if patched else model


def preference_by_hand(model, batch, losers, loss, reference=None):
    """The mean loss of the pairs computed from logits in plain Python."""
    first = answer_by_hand(model(**without_labels(batch)).logits, batch["labels"])
    second = answer_by_hand(model(**losers.inputs).logits, losers.labels)
    losses = []
    for number, row in enumerate(losers.rows.tolist()):
        winner, loser = (torch.stack(tokens).mean().item() for tokens in (first[row], second[number]))
        margin = loss.gamma * (1 - losers.ratio[number].item())
        losses.append(math.log1p(math.exp(margin - loss.beta * (winner - loser))))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched"])
@pytest.mark.parametrize("name", BUILDERS)
def test_winner_and_separate_agree_for_a_deterministic_model(name, patched):
    batch, found = questions(name=name), []
    for saliency in BOTH:
        model = built(name, patched)
        output = step_of(model, saliency=saliency)(batch)
        found.append((output, gradients(model, output.terms.total)))
    (first, grads), (second, others) = found
    assert torch.equal(first.losers.inputs["pixel_values"], second.losers.inputs["pixel_values"])
    assert torch.equal(first.losers.ratio, second.losers.ratio) and first.losers.rows.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(first.terms, second.terms, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grads, others, rtol=1e-3, atol=1e-4)
    assert first.terms.preference > 0


@pytest.mark.parametrize("saliency", BOTH)
def test_a_step_runs_no_more_passes_than_needed(saliency):
    model = llava()
    sizes = counted(model)
    step_of(model, saliency=saliency)(questions())
    assert sizes == ([(4, True), (4, True)] if saliency == "winner" else [(8, True)])


@pytest.mark.parametrize("saliency", BOTH)
def test_detached_losers_run_in_their_own_pass_without_gradients(saliency):
    model = llava()
    sizes = counted(model)
    terms = step_of(model, SequencePreferenceLoss(detach_loser=True), saliency=saliency)(questions()).terms
    assert sizes == [(4, True), (4, False)]
    assert terms.preference.requires_grad and terms.preference > 0


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched"])
@pytest.mark.parametrize("left", [True, False])
def test_the_answer_loss_is_the_models_own_loss(patched, left):
    model, batch = built(patched=patched), questions((1, 2, 0, 1), left=left)
    output = step_of(model)(batch)
    torch.testing.assert_close(output.terms.answer, model(**batch).loss)


@pytest.mark.parametrize("kind", KINDS)
def test_the_total_is_the_answer_loss_plus_the_weighted_preference(kind):
    model, batch = llava(), questions()
    loss = SequencePreferenceLoss(beta=1.5, gamma=0.7, weight=0.3)
    output = step_of(model, loss, kind)(batch)
    terms = output.terms
    torch.testing.assert_close(terms.total, terms.answer + 0.3 * terms.preference)
    assert terms.preference.item() == pytest.approx(preference_by_hand(model, batch, output.losers, loss), rel=1e-4)
    every = [value for row in answer_by_hand(model(**without_labels(batch)).logits, batch["labels"]) for value in row]
    torch.testing.assert_close(terms.answer, -torch.stack(every).mean())
    assert output.answers.logp.shape == (4, batch["labels"].shape[1] - 1)


def test_the_loser_is_the_same_prompt_with_a_mixed_image():
    batch = questions()
    before = {name: value.clone() for name, value in batch.items()}
    losers = step_of()(batch).losers
    assert set(losers.inputs) == {"input_ids", "attention_mask", "pixel_values"}
    assert torch.equal(losers.inputs["input_ids"], batch["input_ids"])
    assert torch.equal(losers.labels, batch["labels"])
    mixed = (losers.inputs["pixel_values"] != batch["pixel_values"]).any(dim=1).float().mean(dim=(1, 2))
    torch.testing.assert_close(losers.ratio, 1 - mixed)
    assert all(torch.equal(batch[name], before[name]) for name in before)


@pytest.mark.parametrize("saliency", BOTH)
def test_weight_0_is_plain_fine_tuning(saliency):
    model, batch = llava(), questions()
    plain = copy.deepcopy(model)
    sizes, step = counted(model), step_of(model, SequencePreferenceLoss(weight=0), saliency=saliency)
    before = step.mixer.generator.get_state()
    output = step(batch)
    assert sizes == [(4, True)] and output.losers is None and output.terms.total is output.terms.answer
    output.terms.total.backward()
    wanted = plain(**batch).loss
    wanted.backward()
    torch.testing.assert_close(output.terms.total, wanted, rtol=1e-6, atol=0)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8)
    assert torch.equal(step.mixer.generator.get_state(), before) and step.mixer.seen == 0


def test_gradients_flow_through_winner_and_loser():
    model, batch = llava(), questions()
    batch["losers"] = brought(step_of(model)(batch).losers)
    found = {}
    for name, options in {"both": {}, "winner": {"detach_loser": True}, "loser": {"detach_winner": True}}.items():
        step = SequencePreferenceStep(model, None, SequencePreferenceLoss(**options))
        found[name] = gradients(model, step(batch).terms.preference)
    torch.testing.assert_close(found["both"], found["winner"] + found["loser"], rtol=1e-3, atol=1e-5)
    for name in ("winner", "loser"):
        assert found[name].abs().max() > 1e-3
        assert not torch.allclose(found["both"], found[name], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("part", ["vision_tower", "language_model", "multi_modal_projector"])
def test_the_preference_reaches_each_part_of_the_model(part):
    model = llava()
    preference = step_of(model)(questions()).terms.preference
    found = torch.autograd.grad(preference, list(getattr(model.model, part).parameters()), allow_unused=True)
    assert any(grad is not None and grad.any() for grad in found)


@pytest.mark.parametrize("saliency", BOTH)
def test_dpo_with_a_reference_of_the_same_weights_is_log_2(saliency):
    model = llava()
    reference = copy.deepcopy(model).train()
    for layer in reference.model.language_model.layers:
        layer.self_attn.attention_dropout = 0.5  # so the result is only right in eval mode
    loss = SequencePreferenceLoss(variant="dpo", gamma=0.0)
    output = step_of(model, loss, saliency=saliency, reference=reference)(questions((2, 1, 0, 1)))
    assert output.losers.rows.tolist() == [1, 3]
    torch.testing.assert_close(output.terms.preference, torch.tensor(2.0).log(), rtol=1e-4, atol=1e-5)
    output.terms.total.backward()
    assert reference.training and all(parameter.grad is None for parameter in reference.parameters())


def test_dpo_subtracts_the_reference_and_sums_over_tokens():
    model, batch = llava(), questions()
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.02)
    loss = SequencePreferenceLoss(variant="dpo", beta=0.3, gamma=0.5)
    output = step_of(model, loss, reference=reference)(batch)
    sums = [
        [torch.stack(tokens).sum().item() for tokens in answer_by_hand(each(**inputs).logits, batch["labels"])]
        for each in (model, reference)
        for inputs in (without_labels(batch), output.losers.inputs)
    ]
    ratio = output.losers.ratio.tolist()
    losses = [
        math.log1p(math.exp(0.5 * (1 - share) - 0.3 * ((w - lo) - (rw - rl))))
        for w, lo, rw, rl, share in zip(*sums, ratio, strict=True)
    ]
    assert output.terms.preference.item() == pytest.approx(sum(losses) / 4, rel=1e-3)


@pytest.mark.parametrize("saliency", BOTH)
def test_rows_without_exactly_one_image_or_without_an_answer_have_no_loser(saliency):
    batch = questions((1, 0, 2, 1, 1), ((30,), (31,), (32,), (), (33, 34)))
    step = step_of(saliency=saliency)
    output = step(batch)
    assert output.losers.rows.tolist() == [0, 4]
    assert step.mixer.left_out == {"not just one image": 2, "no answer": 1} and step.mixer.seen == 5
    images = batch["pixel_values"][[0, 4]]  # the row in between has two images
    assert not torch.equal(output.losers.inputs["pixel_values"], images)
    same = (output.losers.inputs["pixel_values"] == images).all(dim=1).float().mean(dim=(1, 2))
    torch.testing.assert_close(output.losers.ratio, same)
    loss = SequencePreferenceLoss()
    wanted = preference_by_hand(step.model, batch, output.losers, loss)
    assert output.terms.preference.item() == pytest.approx(wanted, rel=1e-4)


def test_each_loser_uses_the_saliency_of_its_own_image():
    batch, found = questions((2, 2, 1, 1, 1), ((30,), (31,), (32,), (33, 34), (35,))), []
    for saliency in BOTH:
        losers = step_of(saliency=saliency)(batch).losers
        assert losers.rows.tolist() == [2, 3, 4]
        found.append(losers.inputs["pixel_values"])
    assert torch.equal(*found)


def test_the_winners_attention_is_read_only_with_saliency_winner():
    for saliency, kind in (("winner", "mergemix"), ("separate", "mergemix"), (None, "cutmix")):
        step = step_of(saliency=saliency, kind=kind)
        paired = step.pair([questions()])[0][0]
        with step.reading(paired) as read:
            step.model(**without_labels(paired.inputs))
        found = read()
        assert (found is not None) == (saliency == "winner")
        if found is not None:
            torch.testing.assert_close(found, step.mixer.saliency(paired.inputs["pixel_values"]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("saliency", BOTH)
def test_a_batch_without_pairs_takes_one_pass(saliency):
    model = llava()
    sizes, step = counted(model), step_of(model, saliency=saliency)
    output = step(questions((2, 2)))
    assert sizes == [(2, True)]
    assert output.losers is None and output.terms.preference == 0 and output.terms.total == output.terms.answer
    assert output.terms.reward_margin.isnan()


@pytest.mark.parametrize("absent", [{}, {"pixel_values": None}], ids=["missing", "none"])
@pytest.mark.parametrize("saliency", BOTH)
def test_a_batch_without_images_has_the_plain_loss_and_no_pairs(saliency, absent):
    step, batch = step_of(saliency=saliency), questions((0, 0))
    del batch["pixel_values"]
    output = step(batch | absent)
    torch.testing.assert_close(output.terms.total, step.model(**batch).loss)
    assert output.losers is None and step.mixer.left_out == {"not just one image": 2}


def test_questions_about_the_same_picture_are_not_mixed_with_each_other():
    batch = questions()
    batch["pixel_values"][:] = batch["pixel_values"][0]
    step = step_of()
    assert step(batch).losers is None
    assert step.mixer.left_out == {"no other picture": 4}


def test_columns_determine_partners_and_are_not_passed_to_the_model():
    batch = questions() | {"image_id": ["a", "a", "b", "b"], "answer": ["x", "y", "x", "z"], "about": torch.arange(4)}
    step = step_of(kind="cutmix", still_right=lambda own, other: own + other != 3)
    paired = step.pair([batch])[0][0]
    assert paired.pairing.rows == (0, 1, 2, 3)
    assert [partner.about for partner in paired.pairing.partners] == [3, 2, 1, 0]
    assert step(paired).losers.rows.tolist() == [0, 1, 2, 3]


def test_the_step_works_with_a_wrapped_model():
    model, batch = llava(), questions()
    wanted = step_of(model)(batch).terms
    wrapped = Wrapper(model)
    wrapped.forward = model.forward
    step = SequencePreferenceStep(wrapped, mixer_of(model))
    assert step.saliency == "winner" and step.token == 99
    torch.testing.assert_close(step(batch).terms, wanted)


def test_the_step_leaves_no_attributes_on_the_model():
    model = llava()
    model(**questions())  # transformers prepares itself in the first pass
    before = {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}
    step_of(model)(questions())
    assert before == {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}


@pytest.mark.parametrize("saliency", BOTH)
def test_the_step_runs_under_autocast(saliency):
    model, batch = llava().train(), questions()
    wanted = step_of(model, saliency=saliency)(batch).terms
    with torch.autocast("cpu", torch.bfloat16):
        terms = step_of(model, saliency=saliency)(batch).terms
    assert terms.total.dtype == torch.float32
    torch.testing.assert_close(terms.answer, wanted.answer, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched"])
@pytest.mark.parametrize("saliency", BOTH)
def test_gradient_checkpointing_gives_the_same_gradients(saliency, patched, reentrant):
    found = []
    for checkpointing in (False, True):
        model = built(patched=patched).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
            model.enable_input_require_grads()
        step_of(model, saliency=saliency)(questions()).terms.total.backward()
        layers = (model.model.vision_tower.encoder.layers[1], model.model.language_model.layers[0])
        found.append([layer.mlp.get_submodule(name).weight.grad for layer, name in zip(layers, NAMES, strict=True)])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)

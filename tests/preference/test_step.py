"""The forward passes of preference training."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError, PreferenceLoss, PreferenceStep

from ..merge.reference import Wrapper, randn
from ..models import images, tiny

LABELS = torch.tensor([0, 1, 2, 3, 4, 5])


def build(r=2, **options):
    model = tiny(**options)
    return mm.patch(model, r) if r else model


def mixer(model, **options):
    return mm.MergeMix(model, num_classes=10, mergemix_prob=1.0, mode="elem", saliency_r=None, **options)


def counted(model):
    """Records the sizes of batches that go through the model, and whether gradients are enabled."""
    sizes = []
    model.patch_embed.register_forward_pre_hook(
        lambda module, args: sizes.append((len(args[0]), torch.is_grad_enabled()))
    )
    return sizes


def run(step, model, seed=0):
    torch.manual_seed(seed)
    return step(images(model, 6), LABELS)


@pytest.mark.parametrize(
    ("saliency", "passes"), [("winner", [(6, True), (6, True)]), ("separate", [(6, False), (12, True)])]
)
def test_a_step_runs_no_more_passes_than_needed(saliency, passes):
    model = build()
    step = PreferenceStep(model, mixer(model), PreferenceLoss(), saliency=saliency)
    sizes = counted(model)
    run(step, model)
    assert sizes == passes


@pytest.mark.parametrize(("saliency", "passes"), [("winner", [(6, True)]), ("separate", [(6, True)])])
def test_a_batch_that_is_not_mixed_takes_one_pass(saliency, passes):
    model = build()
    step = PreferenceStep(model, mixer(model, prob=0.0), PreferenceLoss(), saliency=saliency)
    sizes = counted(model)
    output = run(step, model)
    assert sizes == passes
    assert output.terms.total == output.terms.soft_target and output.terms.preference == 0


@pytest.mark.parametrize("r", [0, 2])
def test_winner_and_separate_agree_for_a_deterministic_model(r):
    model = build(r)
    outputs = []
    for saliency in ("winner", "separate"):
        model.zero_grad()
        output = run(PreferenceStep(model, mixer(model), PreferenceLoss(), saliency=saliency), model)
        output.terms.total.backward()
        outputs.append((output, [parameter.grad.clone() for parameter in model.parameters()]))
    (first, grads), (second, others) = outputs
    torch.testing.assert_close(first.batch.saliency, second.batch.saliency, rtol=1e-5, atol=1e-7)
    assert torch.equal(first.batch.images, second.batch.images)
    torch.testing.assert_close(first.terms, second.terms, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grads, others, rtol=1e-3, atol=1e-5)
    assert first.terms.preference > 0


def test_the_winners_saliency_comes_from_its_training_pass_and_is_detached():
    model = build(drop_path_rate=0.5).train()
    step = PreferenceStep(model, mixer(model, layer=2), PreferenceLoss(), saliency="winner")
    output = run(step, model)
    assert not output.batch.saliency.requires_grad
    torch.testing.assert_close(output.batch.saliency.sum(dim=(1, 2)), torch.ones(6))
    torch.manual_seed(0)
    with mm.record(model) as rec:
        model(images(model, 6))
    wanted = rec.layers[2].attention
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    torch.testing.assert_close(output.batch.saliency.flatten(1), wanted)
    evaluated = mm.saliency_map(model, images(model, 6), layer=2)
    assert not torch.allclose(output.batch.saliency, evaluated, rtol=1e-3)


def test_the_attention_of_the_pool_can_be_read_from_the_winners_pass():
    model = tiny("vit_base_patch16_siglip_224")
    step = PreferenceStep(model, mixer(model, layer="pool"), PreferenceLoss(), saliency="winner")
    output = run(step, model)
    torch.testing.assert_close(output.batch.saliency, mm.saliency_map(model, images(model, 6), layer="pool"))
    output.terms.total.backward()


def test_the_step_returns_the_terms_of_the_loss():
    model = build()
    loss = PreferenceLoss(beta=2.0, gamma=0.5, weight=0.3, variant="hinge")
    output = run(PreferenceStep(model, mixer(model), loss), model)
    wanted = loss(model(output.batch.raw), model(output.batch.images), output.batch)
    torch.testing.assert_close(output.terms, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.logits, model(output.batch.images), rtol=1e-4, atol=1e-5)


def test_weight_0_is_bitwise_equal_to_training_without_preference():
    model = build(drop_path_rate=0.2).train()
    plain = copy.deepcopy(model)
    sizes = counted(model)
    output = run(PreferenceStep(model, mixer(model), PreferenceLoss(weight=0)), model)
    assert sizes == [(6, False), (6, True)]
    output.terms.total.backward()
    torch.manual_seed(0)
    batch = mixer(plain).mix(images(plain, 6), LABELS)
    mm.SoftTargetLoss()(plain(batch.images), batch).backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_mixers_without_saliency_make_losers_too():
    model = tiny()
    for other in (mm.Mixup(num_classes=10), mm.ResizeMix(num_classes=10)):
        step = PreferenceStep(model, other, PreferenceLoss())
        assert step.saliency == "separate"
        assert run(step, model).terms.preference > 0


def test_dpo_runs_the_reference_in_eval_mode_without_gradients():
    model = build().train()
    reference = copy.deepcopy(model).train()
    step = PreferenceStep(model, mixer(model), PreferenceLoss(variant="dpo", gamma=0.0), reference=reference)
    output = run(step, model)
    output.terms.total.backward()
    assert reference.training
    assert all(parameter.grad is None for parameter in reference.parameters())
    torch.testing.assert_close(output.terms.preference, torch.tensor(2.0).log(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda m: (m, mm.Mixup(num_classes=10)), "the mixer reads no saliency"),
        (lambda m: (m, mixer(tiny())), "the mixer's encoder is another model"),
        (lambda m: (Wrapper(m), mixer(m)), "the mixer's encoder is another model"),
        (lambda m: (mm.patch(m, 2, prop_attn=False), mixer(m)), "merges without proportional attention"),
    ],
)
def test_saliency_winner_is_refused_with_a_reason_if_its_pass_cannot_be_read(make, reason):
    model, mix = make(tiny())
    assert PreferenceStep(model, mix, PreferenceLoss()).saliency == "separate"
    with pytest.raises(MergeMixError, match=f"saliency: got 'winner', wanted 'separate', since .*{reason}"):
        PreferenceStep(model, mix, PreferenceLoss(), saliency="winner")


def test_patch_dropout_requires_a_separate_saliency_pass():
    model = tiny(patch_drop_rate=0.5).train()
    assert PreferenceStep(model, mixer(model), PreferenceLoss()).saliency == "separate"
    with (
        pytest.raises(MergeMixError, match="the model drops patches in training"),
        mixer(model).saliency.reading(images(model)),
    ):
        pass


@pytest.mark.parametrize("saliency", ["winner", "separate"])
def test_the_step_runs_compiled_checkpointed_and_under_autocast(saliency):
    torch._dynamo.reset()
    model = build().train()
    mix = mixer(model)
    wanted = run(PreferenceStep(model, mix, PreferenceLoss(), saliency=saliency), model).terms
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(
        run(PreferenceStep(compiled, mix, PreferenceLoss(), saliency=saliency), model).terms, wanted
    )
    model.set_grad_checkpointing()
    terms = run(PreferenceStep(model, mix, PreferenceLoss(), saliency=saliency), model).terms
    torch.testing.assert_close(terms, wanted)
    terms.total.backward()
    with torch.autocast("cpu", torch.bfloat16):
        terms = run(PreferenceStep(model, mix, PreferenceLoss(), saliency=saliency), model).terms
    assert terms.total.dtype == torch.float32
    torch.testing.assert_close(terms.soft_target, wanted.soft_target, rtol=0.05, atol=0.05)


def test_parallel_wrappers_inside_compiled_ones_require_a_separate_pass():
    model = build()
    step = PreferenceStep(torch.compile(nn.DataParallel(model)), mixer(model), PreferenceLoss())
    assert step.saliency == "separate"


def test_the_training_modes_of_the_reference_are_unchanged():
    model = tiny()
    reference = copy.deepcopy(model).train()
    reference.blocks[0].eval()
    loss = PreferenceLoss(variant="dpo")
    run(PreferenceStep(model, mixer(model), loss, reference=reference), model)
    assert reference.training and not reference.blocks[0].training
    with pytest.raises(MergeMixError, match=r"^reference: got .*, wanted a frozen copy of the model"):
        PreferenceStep(model, mixer(model), loss, reference=model)


def test_the_step_leaves_no_attributes_on_the_model():
    model = tiny()
    before = {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}
    run(PreferenceStep(model, mixer(model), PreferenceLoss(), saliency="winner"), model)
    assert before == {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixer": lambda x, y: (x, y)}, r"^mixer: got .*, wanted a mixer of this library"),
        ({"loss": nn.CrossEntropyLoss()}, r"^loss: got a module of class CrossEntropyLoss"),
        ({"saliency": "loser"}, r"^saliency: got 'loser', wanted one of 'winner', 'separate'"),
        ({"loss": PreferenceLoss(variant="dpo")}, r"^reference: got None, wanted a frozen model"),
        ({"reference": nn.Identity()}, r"^reference: got .*, wanted None, since the variant is 'simpo'"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    model = tiny()
    with pytest.raises(MergeMixError, match=message):
        PreferenceStep(**({"model": model, "mixer": mixer(model), "loss": PreferenceLoss()} | arguments))


@pytest.mark.parametrize("saliency", ["winner", "separate"])
def test_a_model_that_returns_two_heads_is_refused(saliency):
    model = tiny("deit_tiny_distilled_patch16_224").train()
    model.set_distilled_training(True)
    step = PreferenceStep(model, mixer(model), PreferenceLoss(), saliency=saliency)
    with pytest.raises(MergeMixError, match=r"got .*wanted"):
        step(images(model, 6), LABELS)


def test_bad_input_is_refused_before_the_winner_runs():
    model = build()
    sizes = counted(model)
    step = PreferenceStep(model, mixer(model), PreferenceLoss(), saliency="winner")
    with pytest.raises(MergeMixError, match=r"^labels: got"):
        step(images(model, 6), LABELS[:3])
    with pytest.raises(MergeMixError, match=r"^images: got"):
        step(randn(6, 64, 64), LABELS)
    with pytest.raises(MergeMixError, match=r"^images: got a uint8 tensor .*wanted float images"):
        step(torch.zeros(6, 3, 64, 64, dtype=torch.uint8), LABELS)
    assert sizes == []

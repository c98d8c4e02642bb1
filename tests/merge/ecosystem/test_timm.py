"""What timm builds around a model: features, intermediates, distillation, moving averages, dropped patches."""

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models._features import FeatureGetterNet
from timm.utils import ModelEmaV2, ModelEmaV3
from torch.utils.checkpoint import checkpoint_sequential

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching.tokens import recover

from ...models import redraw
from ..families.cases import CASES, WIDTH, build
from ..patched import assert_holds_no_tensor, merging_state
from ..reference import sequence_lengths
from .common import NAMES, batch, each_model, equal, gradients, loss_of, two_models

SCHEDULE = [3, 2, 1]


def features_of(name, **options):
    model, given = CASES[name]
    settings = {"img_size": 64, "depth": 3, "embed_dim": WIDTH, "num_heads": 3} | given | options
    return redraw(timm.create_model(model, features_only=True, **settings)).eval()


@each_model
@pytest.mark.parametrize("layers", [(0, 1, 2), (1,)])
def test_a_backbone_of_features_gives_all_tokens(name, layers):
    model = features_of(name, out_indices=layers)
    assert isinstance(model, FeatureGetterNet)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = model(x)
    assert mm.patch(model, 0) is model
    assert equal(model(x), plain)
    depth = len(model.model.blocks)
    mm.patch(model, SCHEDULE[:depth])
    assert mm.merge_info(model).merges == tuple(SCHEDULE[:depth])
    merged = model(x)
    assert [feature.shape for feature in merged] == [feature.shape for feature in plain]
    assert not any(torch.allclose(one, other, rtol=1e-2) for one, other in zip(merged, plain, strict=True))
    full = mm.patch(build(name), SCHEDULE)
    full.load_state_dict(model.model.state_dict(), strict=False)
    wanted = [block for i, block in enumerate(_merged_blocks(full, x)) if i in layers]
    prefix = full.num_prefix_tokens
    assert equal([feature.flatten(2).mT for feature in merged], [tokens[:, prefix:] for tokens in wanted])
    mm.unpatch(model)
    assert equal(model(x), plain)


def _merged_blocks(model, x):
    """What leaves each block in a plain pass, all tokens, by the recorded maps."""
    outputs = []
    handles = [block.register_forward_hook(lambda *args: outputs.append(args[2])) for block in model.blocks]
    with mm.record(model, attention=False) as rec, model.opened(recovering=False):
        model.forward_features(x)
    for handle in handles:
        handle.remove()
    return [recover(output, layer.source) for output, layer in zip(outputs, rec.layers, strict=True)]


@each_model
@pytest.mark.parametrize(("norm", "checkpointing"), [(False, False), (False, True), (True, False)])
def test_intermediates_are_the_outputs_of_the_blocks_with_all_tokens(name, norm, checkpointing):
    model = build(name)
    x, prefix = batch(model), model.num_prefix_tokens
    shapes = [layer.shape for layer in model.forward_intermediates(x, intermediates_only=True)]
    mm.patch(model, SCHEDULE)
    wanted = _merged_blocks(model, x)
    if norm:
        wanted = [model.norm(tokens) for tokens in wanted]
    model.set_grad_checkpointing(checkpointing)
    final, pairs = model.forward_intermediates(x, norm=norm, return_prefix_tokens=True, output_fmt="NLC")
    for (patches, first), tokens in zip(pairs, wanted, strict=True):
        torch.testing.assert_close(patches, tokens[:, prefix:])
        torch.testing.assert_close(first, tokens[:, :prefix])
    assert torch.equal(final, model.forward_features(x))
    grids = model.forward_intermediates(x, norm=norm, intermediates_only=True)
    assert [grid.shape for grid in grids] == shapes
    assert equal([grid.flatten(2).mT for grid in grids], [patches for patches, _ in pairs])
    assert_holds_no_tensor(model)


@each_model
def test_intermediates_can_stop_early(name):
    model = mm.patch(build(name), SCHEDULE)
    x, ran = batch(model), []
    everything = model.forward_intermediates(x, intermediates_only=True)
    wanted = model(x)
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    for indices, last in (([0], 0), ([1, 0], 1), (1, 2), ([-2], 1)):
        ran.clear()
        some = model.forward_intermediates(x, indices=indices, stop_early=True, intermediates_only=True)
        taken = range(3 - indices, 3) if isinstance(indices, int) else sorted(i % 3 for i in indices)
        assert equal(some, [everything[i] for i in taken])
        assert ran == list(range(last + 1))
        assert merging_state(model).here.current is None
    assert torch.equal(model(x), wanted)


def test_get_intermediate_layers_gives_all_tokens_in_every_form():
    model = mm.patch(build("average, registers"), SCHEDULE)
    x = batch(model)
    wanted = [model.norm(tokens) for tokens in _merged_blocks(model, x)]
    pairs = model.get_intermediate_layers(x, n=[0, 2], norm=True, reshape=True, return_prefix_tokens=True)
    for (grid, first), tokens in zip(pairs, [wanted[0], wanted[2]], strict=True):
        torch.testing.assert_close(torch.cat([first, grid.flatten(2).mT], dim=1), tokens)


# ---------------------------------------------------------------- distillation


def distilled(task, student, teacher):
    task = task(student, teacher, criterion=torch.nn.CrossEntropyLoss(), verbose=False).train()
    x, y = batch(student, 4), torch.arange(4)
    student.zero_grad()
    result = task(x, y)
    result["loss"].backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    return x, y, result


who_merges = pytest.mark.parametrize(("student_r", "teacher_r"), [(3, None), (None, 3)])


def pair(name, student_r, teacher_r):
    """A student and a teacher, of which one is patched."""
    models = build(name), build(name, seed=1)
    for model, r in zip(models, (student_r, teacher_r), strict=True):
        if r is not None:
            mm.patch(model, r)
    return models


@two_models
@who_merges
def test_logits_are_distilled_from_a_patched_model_and_into_one(name, student_r, teacher_r):
    tasks = pytest.importorskip("timm.task")
    student, teacher = pair(name, student_r, teacher_r)
    x, y, result = distilled(tasks.LogitDistillationTask, student, teacher)
    logits = student(x)
    torch.testing.assert_close(result["output"], logits)
    kl = F.kl_div(logits.log_softmax(-1), teacher(x).log_softmax(-1), reduction="batchmean", log_target=True)
    torch.testing.assert_close(result["loss"], F.cross_entropy(logits, y) + kl)


@two_models
@who_merges
def test_features_are_distilled_from_a_patched_model_and_into_one(name, student_r, teacher_r):
    tasks = pytest.importorskip("timm.task")
    student, teacher = pair(name, student_r, teacher_r)
    x, y, result = distilled(tasks.FeatureDistillationTask, student, teacher)
    # It goes by forward_features and forward_head, where the model alone may leave out what its head does not read.
    torch.testing.assert_close(result["output"], student(x))
    one, other = (model.forward_head(model.forward_features(x), pre_logits=True) for model in (student, teacher))
    torch.testing.assert_close(result["loss"], F.cross_entropy(student(x), y) + F.mse_loss(one, other))


@who_merges
def test_tokens_are_distilled_from_a_patched_model_and_into_one(student_r, teacher_r):
    tasks = pytest.importorskip("timm.task")
    student = build("distilled")
    teacher = mm.patch(build("LayerScale", seed=1), teacher_r or 0)  # of the same statistics
    if student_r is not None:
        mm.patch(student, student_r)
    x, y, result = distilled(tasks.TokenDistillationTask, student, teacher)
    main, token = student(x)
    kl = F.kl_div(token.log_softmax(-1), teacher(x).log_softmax(-1), reduction="batchmean", log_target=True)
    torch.testing.assert_close(result["loss"], F.cross_entropy(main, y) + kl)


# ---------------------------------------------------------------- moving averages, dropped patches, checkpoints


@each_model
@pytest.mark.parametrize("ema_class", [ModelEmaV2, ModelEmaV3])
def test_moving_averages_are_those_of_the_plain_model(name, ema_class):
    plain, patched = build(name), mm.patch(build(name), 3)
    averages = [ema_class(model, decay=0.75) for model in (plain, patched)]
    for step in range(3):
        for model, average in zip((plain, patched), averages, strict=True):
            redraw(model, seed=step + 1)
            average.update(model)
        loss_of(patched(batch(patched))).backward()
    one, other = (average.module.state_dict() for average in averages)
    assert list(one) == list(other) == list(patched.state_dict())
    assert equal(list(one.values()), list(other.values()))
    x = batch(plain)
    assert torch.equal(averages[1].module.eval()(x), mm.patch(averages[0].module.eval(), 3)(x))


@each_model
def test_sizes_sum_to_the_patches_that_dropout_keeps(name):
    model = mm.patch(build(name, patch_drop_rate=0.25), SCHEDULE).train()
    prefix, kept = model.num_prefix_tokens, 12
    with mm.record(model, attention=False) as rec:
        gradients(model, batch(model))
    assert sequence_lengths(rec.layers) == [prefix + kept - 3, prefix + kept - 5, prefix + kept - 6]
    for layer in rec.layers:
        assert (layer.size[:, prefix:].sum(dim=1) == kept).all()
        assert (layer.size[:, :prefix] == 1).all()
        assert layer.source.shape == (2, prefix + kept)
    x = batch(model)
    assert torch.equal(model.eval()(x), mm.patch(build(name), SCHEDULE)(x))


@pytest.mark.parametrize("reentrant", [False, True])
def test_blocks_may_be_checkpointed_from_outside_in_one_segment(reentrant):
    model = mm.patch(build(NAMES[0]), SCHEDULE).train()
    x = batch(model)
    wanted = gradients(model, x)
    # Of two segments the second runs as it is, so what is recomputed begins at the first block.
    tokens = model.norm_pre(model._pos_embed(model.patch_embed(x)))
    tokens = checkpoint_sequential(model.blocks, 2, tokens, use_reentrant=reentrant)
    model.zero_grad()
    loss_of(model.forward_head(model.norm(tokens))).backward()
    assert equal([parameter.grad for parameter in model.parameters()], wanted)
    assert equal(gradients(model, x), wanted)


def test_blocks_recomputed_from_the_middle_are_refused():
    model = mm.patch(build(NAMES[0]), SCHEDULE).train()
    x = batch(model)
    wanted = gradients(model, x)
    tokens = checkpoint_sequential(model.blocks, 3, model._pos_embed(model.patch_embed(x)), use_reentrant=False)
    with pytest.raises(MergeMixError, match="a checkpoint around single blocks runs them again"):
        loss_of(tokens).backward()
    assert equal(gradients(model, x), wanted)


def test_blocks_that_merge_nothing_are_recomputed_from_anywhere():
    model = mm.patch(build(NAMES[0]), 0).train()
    x = batch(model)
    wanted = gradients(model, x)
    tokens = checkpoint_sequential(model.blocks, 3, model._pos_embed(model.patch_embed(x)), use_reentrant=False)
    model.zero_grad()
    loss_of(model.forward_head(model.norm(tokens))).backward()
    assert equal([parameter.grad for parameter in model.parameters()], wanted)

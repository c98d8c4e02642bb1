"""torch.compile in a training loop."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import timm_mergemix as mm

from ..families.cases import build
from .common import NAMES, batch, gradients, loss_of, two_models
from .test_export import any_size


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@two_models
def test_ten_training_steps_compile_once_with_mixes_between(name):
    model = mm.patch(build(name, depth=2), 3).train()
    mix = mm.MergeMix(model, num_classes=10, mergemix_prob=1.0)
    loss, counter = mm.SoftTargetLoss(), CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for seed in range(10):
        x, target = mix(batch(model, 4, seed), torch.arange(4))
        model.zero_grad()
        loss(compiled(x), target).backward()
        got = [parameter.grad.clone() for parameter in model.parameters()]
        if seed in (0, 9):
            model.zero_grad()
            loss(model(x), target).backward()
            torch.testing.assert_close(got, [parameter.grad for parameter in model.parameters()])
    assert counter.frame_count == 1


@pytest.mark.parametrize("saliency", ["winner", "separate"])
@pytest.mark.parametrize("patched", [True, False])
def test_reading_attention_between_steps_compiles_nothing_anew(saliency, patched):
    """The pass changes classes of an unpatched model for a while, beside what was compiled."""
    model = build(NAMES[0], depth=2).train()
    if patched:
        mm.patch(model, 3)
    mix, counter = mm.MergeMix(model, num_classes=10, mergemix_prob=1.0), CompileCounter()
    step = mm.PreferenceStep(torch.compile(model, backend=counter), mix, mm.PreferenceLoss(), saliency=saliency)
    counts = []
    for seed in range(5):
        step(batch(model, 4, seed), torch.arange(4)).terms.total.backward()
        counts.append(counter.frame_count)
    assert 1 <= counts[0] <= 2 and len(set(counts)) == 1  # two, where the winner's pass is read


def test_batches_in_eval_mode_compile_once():
    model, counter = mm.patch(build(NAMES[0], depth=2), 3), CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True)

    @torch.no_grad()
    def compilations(*sizes):
        for seed, size in enumerate(sizes):
            x = batch(model, size, seed)
            torch.testing.assert_close(compiled(x), model(x))
        return counter.frame_count

    assert compilations(*[4] * 10) == 1
    assert compilations(3, 5, 6) == 2  # from the second size on, any
    mm.patch(model, 2)
    assert compilations(4) == 3


@pytest.mark.parametrize(("name", "before"), [(NAMES[0], True), (NAMES[-1], False)])
def test_a_compiled_model_recomputes_with_gradient_checkpointing(name, before):
    model = build(name, depth=2).train()
    if before:
        model.set_grad_checkpointing()
    mm.patch(model, 3)
    if not before:
        model.set_grad_checkpointing()
    assert mm.merge_info(model).grad_checkpointing
    calls = []
    for block in model.blocks:
        block.attn.proj.register_forward_hook(lambda *_: calls.append(1))
    x = batch(model)
    compiled = torch.compile(model, backend="eager")
    loss_of(compiled(x)).backward()
    assert len(calls) == 4
    got = [parameter.grad.clone() for parameter in model.parameters()]
    model.set_grad_checkpointing(False)
    torch.testing.assert_close(got, gradients(model, x))
    assert len(calls) == 6


@two_models
def test_gradient_checkpointing_compiles_to_one_graph(name):
    model = mm.patch(build(name, depth=2), 3).train()
    model.set_grad_checkpointing()
    x = batch(model)
    loss_of(torch.compile(model, backend="eager", fullgraph=True)(x)).backward()
    got = [parameter.grad.clone() for parameter in model.parameters()]
    torch.testing.assert_close(got, gradients(model, x))  # a compiler derives the steps of a merge one by one


def test_image_sizes_compile_as_seldom_as_without_the_patch():
    def compilations(model):
        torch._dynamo.reset()
        counter = CompileCounter()
        compiled = torch.compile(model, backend=counter, dynamic=True, fullgraph=True)
        for size in ((64, 96), (96, 64), (80, 48), (128, 104)):
            x = torch.randn(2, 3, *size)
            with torch.no_grad():
                torch.testing.assert_close(compiled(x), model(x))
        return counter.frame_count

    model = any_size(dynamic_img_pad=True)  # else timm's own messages fix height and width
    assert compilations(model) == 1
    assert compilations(mm.patch(model, 4)) == 1
    assert compilations(mm.patch(model, ("total", 20))) == 1


@pytest.mark.parametrize("training", [False, True])
def test_a_patched_model_is_one_graph_of_static_shapes(training):
    """What CUDA graphs need: nothing is left to the host, and no length depends on a value."""
    model = mm.patch(build(NAMES[0], depth=3), 3).train(training)
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph

    x = batch(model)
    compiled = torch.compile(model, backend=keep, fullgraph=True, dynamic=False)
    with torch.set_grad_enabled(training):
        compiled(x)
        compiled(batch(model, seed=5))
    assert len(graphs) == 1
    shapes = [
        node.meta["example_value"].shape
        for node in graphs[0].graph.nodes
        if hasattr(node.meta.get("example_value"), "shape")
    ]
    assert shapes and all(isinstance(side, int) for shape in shapes for side in shape)

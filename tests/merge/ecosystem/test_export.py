"""Tracing, torch.export, and the refusal of scripting."""

import inspect
import io

import pytest
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

import timm_mergemix as mm

from ..families.cases import build
from ..reference import Wrapper
from .common import NAMES, batch, each_model

pytestmark = pytest.mark.filterwarnings("ignore")

# Without a bound, torch 2.6 exports no model whose first axis is sliced, such as timm's plain ones.
DYNAMIC = {"x": {0: torch.export.Dim("batch", max=1024)}}


def exported(strict, name):
    """The program of a patched model, its model and batches of other sizes than the one that it was exported with."""
    model = mm.patch(build(name, depth=2), 3)
    program = torch.export.export(Wrapper(model), (batch(model, 4),), strict=strict, dynamic_shapes=DYNAMIC)
    return program.module(), model, [batch(model, size, seed=size) for size in (4, 1, 7)]


@each_model
def test_a_trace_saved_and_loaded_is_the_model(name):
    model = mm.patch(build(name), [3, 2, 1])
    x = batch(model)
    file = io.BytesIO()
    torch.jit.save(torch.jit.freeze(torch.jit.trace(model, x)), file)
    file.seek(0)
    traced = torch.jit.load(file)
    for seed in (1, 2):
        y = batch(model, seed=seed)
        torch.testing.assert_close(traced(y), model(y), rtol=1e-5, atol=1e-5)
    mm.patch(model, 0)
    assert not torch.allclose(traced(x), model(x), rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_takes_batches_of_any_size(name):
    model = mm.patch(build(name), 3)
    traced = torch.jit.trace(model, batch(model, 4))
    for size in (1, 7):
        x = batch(model, size, seed=size)
        torch.testing.assert_close(traced(x), model(x), rtol=1e-5, atol=1e-5)


def test_a_strict_export_takes_batches_of_any_size():
    program, model, batches = exported(True, NAMES[0])
    for x in batches:
        torch.testing.assert_close(program(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [NAMES[-1]])
def test_an_export_takes_batches_of_any_size(name):
    program, model, batches = exported(False, name)
    for x in batches:
        torch.testing.assert_close(program(x), model(x), rtol=1e-5, atol=1e-5)


def any_size(global_pool="token", **options):
    """A small ViT for images of any size; its weights are large enough for differences to show."""
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=32, depth=3, num_heads=2, num_classes=7, global_pool=global_pool,
        class_token=global_pool == "token", dynamic_img_size=True, **options,
    )  # fmt: skip
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def agree(program, model, sizes):
    for batch_size, height, width in sizes:
        x = torch.randn(batch_size, 3, height, width)
        torch.testing.assert_close(program(x), model(x), rtol=1e-4, atol=1e-4)


OPEN = {"x": {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}}
SIZES = [(2, 64, 96), (2, 96, 64), (2, 64, 64), (2, 80, 48), (2, 128, 104)]


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("r", [4, ("decreasing", 4), [3, 0, 5], ("total", 20), ("keep", 0.5)], ids=str)
def test_an_export_takes_images_of_any_size(r, pool):
    model = mm.patch(any_size(pool), r)
    program = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=OPEN, strict=False).module()
    agree(program, model, SIZES)


@pytest.mark.parametrize("matching", ["bipartite", "kth", "pitome"])
def test_the_sizes_of_an_export_do_not_grow_longer_with_the_depth(matching):
    model = mm.patch(any_size(), 4, matching=matching)
    program = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=OPEN, strict=False)
    tensors = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    halves = [str(size).count("//2") for tensor in tensors for size in tensor.shape]
    assert max(halves) <= 2  # those of one block's matching


@pytest.mark.parametrize("matching", ["kth", "pitome"])
def test_an_export_takes_images_and_batches_of_any_size_by_every_matching(matching):
    model = mm.patch(any_size(), ("keep", 0.5), matching=matching)
    height, width = torch.export.Dim("height", min=4, max=32), torch.export.Dim("width", min=4, max=32)
    dims = {"x": {0: torch.export.Dim("batch", max=64), 2: 8 * height, 3: 8 * width}}
    program = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=dims, strict=False).module()
    agree(program, model, [*SIZES, (1, 64, 96), (5, 72, 40)])


def test_an_export_takes_images_of_any_size_with_rotary_positions():
    torch.manual_seed(0)
    model = Eva(
        img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=7, dynamic_img_size=True,
        use_rot_pos_emb=True, use_abs_pos_emb=False,
    ).eval()  # fmt: skip
    mm.patch(model, ("keep", 0.5))
    program = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=OPEN, strict=False).module()
    agree(program, model, SIZES)


def test_a_strict_export_takes_images_of_any_size_where_the_plain_model_can():
    model = mm.patch(any_size(dynamic_img_pad=True), 4)  # else timm's own messages fix height and width
    program = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=OPEN, strict=True).module()
    agree(program, model, SIZES)


def test_an_example_that_is_too_small_is_refused_by_name():
    model = mm.patch(any_size(), 20)
    with pytest.raises(mm.MergeMixError, match=r"^r: got 20 and an image size that is left open"):
        torch.export.export(model, (torch.randn(2, 3, 64, 64),), dynamic_shapes=OPEN, strict=False)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("r", [6, ("keep", 0.5)], ids=str)
def test_a_trace_refuses_images_of_another_size(r):
    model = mm.patch(any_size("avg", pos_embed="none"), r)
    traced = torch.jit.trace(model, torch.randn(2, 3, 64, 64))
    agree(traced, model, [(1, 64, 64), (5, 64, 64)])
    with pytest.raises(Exception, match="got 144 tokens, wanted 64, as in the example"):
        traced(torch.randn(2, 3, 96, 96))


@each_model
def test_forward_keeps_its_signature(name):
    # torch.export reads from it what `dynamic_shapes={"x": ...}` means, the ONNX exporter how inputs are called.
    model = build(name)
    wanted = inspect.signature(model.forward)
    assert inspect.signature(mm.patch(model, 2).forward) == wanted


@pytest.mark.parametrize("wrap", [lambda model: model, Wrapper], ids=["model", "wrapper"])
def test_scripting_a_patched_model_fails_and_leaves_it_as_it_was(wrap):
    model = mm.patch(build(NAMES[0]), 3)
    x = batch(model)
    wanted = model(x)
    with pytest.raises((ValueError, RuntimeError)):
        torch.jit.script(wrap(model))
    assert torch.equal(model(x), wanted)
    mm.unpatch(model)
    assert type(model) is VisionTransformer
    assert torch.jit.script(model)(x).shape == wanted.shape


def test_the_failure_of_scripting_says_what_to_do():
    with pytest.raises(mm.MergeMixError, match=r"torch\.jit\.trace"):
        torch.jit.script(mm.patch(build(NAMES[0]), 3))

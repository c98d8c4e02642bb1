"""Tracing, torch.export, ONNX, and the refusal of scripting."""

import inspect
import io

import pytest
import torch
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


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_an_onnx_model_takes_batches_of_any_size(name, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = mm.patch(build(name, depth=2), 3)
    program = torch.onnx.export(Wrapper(model), (batch(model, 4),), dynamo=True, dynamic_shapes=DYNAMIC, verbose=False)
    program.save(tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for size in (4, 1, 7):
        x = batch(model, size, seed=size)
        (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(out), model(x), rtol=1e-4, atol=1e-4)


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

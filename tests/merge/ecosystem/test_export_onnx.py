"""ONNX models of patched models, by both exporters, in onnxruntime."""

import io

import pytest
import torch

import timm_mergemix as mm

from ..families.cases import build
from ..reference import Wrapper
from .common import NAMES, batch, each_model
from .test_export import DYNAMIC, any_size

pytestmark = pytest.mark.filterwarnings("ignore")
ort = pytest.importorskip("onnxruntime")
EXAMPLE = (2, 3, 64, 64)  # the tracing exporter has no operator for timm's resampling of position embeddings


def run(onnx, x):
    session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def traced_onnx(model, x, **options):
    file = io.BytesIO()
    options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(model, (x,), file, dynamo=False, **options)
    return file.getvalue()


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("matching", ["bipartite", "kth", "pitome"])
def test_the_tracing_exporter_writes_every_matching(matching, pool):
    model = mm.patch(any_size(pool), 12, matching=matching)  # many merge into the same token
    onnx = traced_onnx(model, torch.randn(EXAMPLE))
    for size in (2, 1, 5):
        x = torch.randn(size, *EXAMPLE[1:])
        torch.testing.assert_close(run(onnx, x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opset", [14, 16])
def test_the_tracing_exporter_adds_up_in_older_opsets(opset):
    model = mm.patch(any_size("avg"), 12)
    onnx, x = traced_onnx(model, torch.randn(EXAMPLE), opset_version=opset), torch.randn(EXAMPLE)
    torch.testing.assert_close(run(onnx, x), model(x), rtol=1e-4, atol=1e-4)


def test_the_tracing_exporter_writes_random_matching_which_draws_anew():
    model = mm.patch(any_size("avg"), 12, matching="random")
    onnx, x = traced_onnx(model, torch.randn(EXAMPLE)), torch.randn(EXAMPLE)
    session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    one, other = (torch.from_numpy(session.run(None, {"x": x.numpy()})[0]) for _ in range(2))
    assert one.shape == (2, 7) and one.isfinite().all()
    assert not torch.equal(one, other)


def test_the_tracing_exporter_writes_all_tokens_recovered():
    class Tokens(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model.forward_features(x)

    model = Tokens(mm.patch(any_size(), ("keep", 0.5)))
    onnx = traced_onnx(model, torch.randn(EXAMPLE))
    x = torch.randn(3, *EXAMPLE[1:])
    assert run(onnx, x).shape == (3, 65, 32)
    torch.testing.assert_close(run(onnx, x), model(x), rtol=1e-4, atol=1e-4)


@each_model
def test_the_tracing_exporter_writes_every_kind_of_model(name):
    model = mm.patch(build(name, depth=2), 3)
    onnx = traced_onnx(Wrapper(model), batch(model, 4))
    for size in (4, 1):
        x = batch(model, size, seed=size)
        torch.testing.assert_close(run(onnx, x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cait", "beit", "relpos"])
def test_the_tracing_exporter_writes_attention_that_takes_no_mask(name):
    model = mm.patch(build(name), 3)
    x = batch(model)
    torch.testing.assert_close(run(traced_onnx(model, x), x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_an_onnx_model_takes_batches_of_any_size(name, tmp_path):
    pytest.importorskip("onnxscript")
    model = mm.patch(build(name, depth=2), 3)
    program = torch.onnx.export(Wrapper(model), (batch(model, 4),), dynamo=True, dynamic_shapes=DYNAMIC, verbose=False)
    program.save(tmp_path / "model.onnx")
    for size in (4, 1, 7):
        x = batch(model, size, seed=size)
        torch.testing.assert_close(run(tmp_path / "model.onnx", x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("r", [4, ("keep", 0.5)], ids=str)
def test_an_onnx_model_takes_images_of_any_size(r, tmp_path):
    pytest.importorskip("onnxscript")
    model = mm.patch(any_size("avg"), r)
    dims = {"x": dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)}
    example = (torch.randn(2, 3, 64, 96),)
    program = torch.onnx.export(model, example, dynamo=True, dynamic_shapes=dims, verbose=False)
    program.save(tmp_path / "model.onnx")
    for shape in ((2, 3, 64, 96), (1, 3, 96, 64), (3, 3, 80, 48)):
        x = torch.randn(shape)
        torch.testing.assert_close(run(tmp_path / "model.onnx", x), model(x), rtol=1e-4, atol=1e-4)

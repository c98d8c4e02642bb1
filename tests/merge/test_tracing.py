"""What tracers and exporters need: lengths that a trace fixes, symbols, operators that ONNX lacks."""

import io

import pytest
import torch

from timm_mergemix.merge.tracing import check_length, is_symbol, may_merge, token_count, writes_onnx

pytestmark = pytest.mark.filterwarnings("ignore")


def doubled(x):
    return 2 * check_length(x, token_count(x))


def test_an_eager_call_checks_nothing_and_returns_the_same_tensor():
    x = torch.ones(2, 5, 3)
    assert check_length(x, 4) is x
    assert token_count(x) == 5
    assert not writes_onnx()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_trace_refuses_other_lengths_and_takes_any_batch(frozen):
    trace = torch.jit.trace(doubled, torch.ones(2, 5, 3))
    if frozen:
        file = io.BytesIO()
        torch.jit.save(trace, file)
        file.seek(0)
        trace = torch.jit.load(file)
    for batch in (1, 2, 7):
        assert torch.equal(trace(torch.ones(batch, 5, 3)), torch.full((batch, 5, 3), 2.0))
    for length in (1, 4, 6):
        with pytest.raises(Exception, match=f"got {length} tokens, wanted 5, as in the example"):
            trace(torch.ones(2, length, 3))


def test_the_count_is_an_integer_in_a_trace():
    seen = []

    def count(x):
        seen.append((token_count(x), writes_onnx()))
        return x + 1

    torch.jit.trace(count, torch.ones(2, 5, 3), check_trace=False)
    assert seen == [(5, False)]
    assert type(seen[0][0]) is int


def test_an_onnx_model_refuses_other_lengths():
    ort = pytest.importorskip("onnxruntime")
    seen, file = [], io.BytesIO()

    class Doubled(torch.nn.Module):
        def forward(self, x):
            seen.append(writes_onnx())
            return doubled(x)

    axes = {"x": {0: "batch", 1: "tokens"}}
    torch.onnx.export(Doubled(), (torch.ones(2, 5, 3),), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    assert all(seen)
    session = ort.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": torch.ones(3, 5, 3).numpy()})[0].shape == (3, 5, 3)
    for length in (4, 6, 10):
        with pytest.raises(Exception, match="Expand"):
            session.run(None, {"x": torch.ones(3, length, 3).numpy()})


def test_an_integer_merges_if_it_is_positive_and_a_symbol_may():
    assert may_merge(1) and not may_merge(0) and not is_symbol(1)
    seen = []

    class Cut(torch.nn.Module):
        def forward(self, x):
            seen.append(is_symbol(x.shape[1]) and may_merge(x.shape[1] - 5))
            return x + 1

    dims = {"x": {1: torch.export.Dim("tokens", max=100)}}
    program = torch.export.export(Cut(), (torch.ones(2, 5),), dynamic_shapes=dims, strict=False).module()
    assert all(seen)
    assert program(torch.ones(2, 9)).shape == (2, 9)

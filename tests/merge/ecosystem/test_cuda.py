"""On CUDA a patched model waits for nothing, can be captured, and adds in one order where torch is asked to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.matching.choose import MATCHINGS

from ...models import images, tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.fixture
def strict() -> Iterator[None]:
    """Any operation for which the host waits is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def on_cuda(matching: str = "bipartite") -> tuple[torch.nn.Module, torch.Tensor]:
    model = mm.patch(tiny(), 2, matching=matching).cuda()
    return model, images(model).cuda()


@pytest.mark.parametrize("matching", MATCHINGS)
def test_forward_and_backward_wait_for_nothing(matching: str, strict: None) -> None:
    torch.cuda.set_sync_debug_mode("default")
    model, x = on_cuda(matching)
    model(x).sum().backward()  # libraries that are loaded now may wait
    torch.cuda.set_sync_debug_mode("error")
    model(x).sum().backward()
    model.forward_features(x)


@pytest.mark.parametrize("matching", ["bipartite", "kth", "pitome"])
def test_cuda_gives_what_the_cpu_gives(matching: str) -> None:
    model, x = on_cuda(matching)
    with torch.no_grad():
        found = model(x).cpu()
        torch.testing.assert_close(found, model.cpu()(x.cpu()), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_pass_is_captured_by_hand() -> None:
    model, x = on_cuda()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = model(x)
    x.copy_(images(model, seed=7))
    graph.replay()
    torch.testing.assert_close(out, model(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_compiled_pass_runs_as_a_graph() -> None:
    torch._dynamo.reset()
    model, x = on_cuda()
    compiled = torch.compile(model, mode="reduce-overhead", fullgraph=True)
    for seed in range(4):
        x = images(model, seed=seed).cuda()
        torch.testing.assert_close(compiled(x).clone(), model(x), rtol=1e-3, atol=1e-3)


def test_equal_runs_give_equal_gradients_where_torch_is_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            runs = []
            for _ in range(3):
                model, x = on_cuda()
                model(x).square().sum().backward()
                runs.append([parameter.grad.clone() for parameter in model.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))

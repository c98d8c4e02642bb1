"""PT2E quantisation, by torchao, of an exported patched model."""

import pytest
import torch

import timm_mergemix as mm

from .test_export import any_size

pytestmark = pytest.mark.filterwarnings("ignore")
MATCHINGS = ("bipartite", "kth", "pitome", "random")


@pytest.mark.parametrize("matching", MATCHINGS)
def test_an_export_has_no_graph_within_its_graph(matching):
    # Regions without gradients or autocast would be such, and tools that walk the graph do not see into them.
    model = mm.patch(any_size("avg"), 4, matching=matching)
    program = torch.export.export(model, (torch.randn(2, 3, 64, 64),), strict=False).module()
    assert not [name for name, child in program.named_children() if isinstance(child, torch.fx.GraphModule)]
    assert not [node for node in program.graph.nodes if isinstance(node.target, torch._ops.HigherOrderOperator)]


@pytest.mark.parametrize("matching", MATCHINGS[:-1])
def test_a_quantised_model_is_close_to_the_float_model(matching):
    pytest.importorskip("torchao")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    model = mm.patch(any_size("avg"), 4, matching=matching)
    x = torch.randn(4, 3, 64, 64)
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(model, (x,), strict=False).module(), quantizer)
    prepared(x)
    quantised = convert_pt2e(prepared)
    assert any("quantize" in str(node.target) for node in quantised.graph.nodes)
    error = (quantised(x) - model(x)).norm() / model(x).norm()
    assert 0 < error < 0.2

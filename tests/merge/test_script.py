"""Graphs of a patched model that merges nothing are those of the plain model; of one that merges there are none."""

import pytest
import torch
from timm.models._features_fx import create_feature_extractor, get_notrace_functions, get_notrace_modules
from torch import nn
from torchvision.models.feature_extraction import get_graph_node_names

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import images, tiny, tiny_torchvision
from .families.cases import BUILDERS
from .patched import assert_unchanged, snapshot

FAMILIES = ["vit", "parallel scaling", "eva", "rope", "beit", "relpos", "cait"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_that_merges_nothing_can_be_scripted(name):
    model = BUILDERS[name]()
    x = images(model)
    plain = model(x)
    before = snapshot(mm.patch(model, 0))
    assert torch.equal(torch.jit.script(model)(x), plain)
    assert_unchanged(before, model)
    assert torch.equal(mm.patch(model, 3)(x), mm.patch(BUILDERS[name](), 3)(x))


def test_what_merges_or_is_inside_another_module_is_refused():
    with pytest.raises(MergeMixError, match=r"jit\.script: got a patched VisionTransformer, wanted an unpatched"):
        torch.jit.script(mm.patch(tiny(), 2))
    for part in (mm.patch(tiny(), 0), mm.patch(tiny(), 0).blocks[0]):
        with pytest.raises(MergeMixError, match="inside another module"):
            torch.jit.script(nn.Sequential(part))


@pytest.mark.parametrize("name", [*FAMILIES, "torchvision"])
@pytest.mark.parametrize("scripted", [False, True])
def test_a_model_that_merges_nothing_can_be_traced_symbolically(name, scripted):
    model = tiny_torchvision() if name == "torchvision" else BUILDERS[name]()
    x = images(model)
    plain = mm.patch(model, 0)(x)
    leaves = {"leaf_modules": list(get_notrace_modules()), "autowrap_functions": list(get_notrace_functions())}
    names, _ = get_graph_node_names(model, tracer_kwargs=leaves)
    graph = create_feature_extractor(model, [names[-1]])
    (out,) = (torch.jit.script(graph) if scripted else graph)(x).values()
    torch.testing.assert_close(out, plain)

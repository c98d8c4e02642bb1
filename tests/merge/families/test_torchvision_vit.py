"""torchvision's VisionTransformer, patched: what is special to it beside what holds for every family."""

import pytest
import torch
from torch import nn
from torchvision.models import vit_b_16
from torchvision.models.vision_transformer import ConvStemConfig

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.torchvision_vit import TorchvisionVitBackbone
from timm_mergemix.merge.matching.tokens import recover

from ...models import images, tiny_torchvision
from ..patched import merging_state
from ..reference import alone, randn, relative_error
from .training import backward


def layers(model):
    return model.encoder.layers


def test_r_0_is_the_identity_in_training():
    model = tiny_torchvision(dropout=0.1, attention_dropout=0.1).train()
    x = images(model, batch=4)
    out, grads = backward(model, x)
    patched, patched_grads = backward(mm.patch(model, 0), x)
    assert torch.equal(out, patched)
    assert all(torch.equal(grads[name], patched_grads[name]) for name in grads)


def test_the_branches_are_the_block():
    model = mm.patch(tiny_torchvision(), 1)
    x = randn(2, 17, 48)
    for block in layers(model):
        branch, _ = block.attention_branch(x, alone())
        after = x + branch
        wanted = type(block).__mro__[2].forward(block, x)
        assert relative_error(after + block.mlp_branch(after), wanted) <= 1e-5


def test_dropout_of_the_branches_is_that_of_the_block():
    model = mm.patch(tiny_torchvision(dropout=0.4, attention_dropout=0.3), 1).train()
    block, x = layers(model)[0], randn(64, 17, 48)
    branch, _ = block.attention_branch(x, alone())
    dropped = (branch == 0).float().mean().item()
    assert dropped == pytest.approx(0.4, abs=0.02)
    block.dropout.p = 0.0
    again, _ = block.attention_branch(x, alone())
    model.eval()
    sure, _ = block.attention_branch(x, alone())
    assert not torch.allclose(again, sure)
    assert torch.equal(block.attention_branch(x, alone())[0], sure)


def test_the_encoder_gives_all_tokens_and_the_model_only_what_it_needs():
    model = mm.patch(tiny_torchvision(), 3)
    x = images(model)
    lengths = []
    layers(model)[-1].register_forward_hook(lambda *args: lengths.append(args[2].shape[1]))
    out = model(x)
    tokens = model._process_input(x)
    tokens = torch.cat([model.class_token.expand(2, -1, -1), tokens], dim=1)
    with mm.record(model) as rec:
        features = model.encoder(tokens)
    assert lengths == [8, 17]
    assert features.shape == (2, 17, 48)
    torch.testing.assert_close(model.heads(features[:, 0]), out)
    with merging_state(model).during(recovering=False):
        merged = model.encoder(tokens)
    assert torch.equal(recover(merged, rec.layers[-1].source), features)


def test_recorded_attention_is_that_of_multihead_attention():
    model = mm.patch(tiny_torchvision(), [0, 0, 3])
    x, seen = images(model), []
    for block in layers(model):
        block.self_attention.register_forward_pre_hook(
            lambda module, args: seen.append(module.forward(*args, average_attn_weights=True)[1][:, 0, 1:])
        )
    with mm.record(model) as rec:
        model(x)
    assert len(seen) == 2
    for wanted, layer in zip(seen, rec.layers, strict=False):
        torch.testing.assert_close(layer.attention, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_lowers_the_output(dtype):
    model = mm.patch(tiny_torchvision(), 3)
    x = images(model)
    wanted = model(x)
    with torch.autocast("cpu", dtype=dtype):
        out = model(x)
    assert out.dtype == dtype
    assert relative_error(out.float(), wanted) < 0.5


def test_a_later_block_alone_is_refused():
    model = mm.patch(tiny_torchvision(), 2)
    with pytest.raises(MergeMixError, match="must run in order"):
        layers(model)[1](randn(2, 17, 48))


def test_another_attention_is_refused():
    class OwnAttention(nn.MultiheadAttention):
        """A user's subclass."""

    model = tiny_torchvision()
    layers(model)[0].self_attention = OwnAttention(48, 3, batch_first=True)
    with pytest.raises(MergeMixError, match="its blocks use OwnAttention, only torch's own"):
        mm.patch(model, 2)


def test_a_convolutional_stem_is_taken():
    stem = [ConvStemConfig(out_channels=8, kernel_size=3, stride=4), ConvStemConfig(12, 3, 4)]
    model = tiny_torchvision(conv_stem_configs=stem)
    assert TorchvisionVitBackbone(model).in_channels == 3
    mm.patch(model, 3)
    assert model(images(model)).shape == (2, 10)


def test_the_family_knows_sizes_grids_and_channels():
    with torch.device("meta"):
        model = vit_b_16()
    assert mm.supported(model).blocks == 12
    assert TorchvisionVitBackbone(model).default_size == TorchvisionVitBackbone(model).input_size(30, 40) == (224, 224)
    assert TorchvisionVitBackbone(model).grid_size(224, 224) == (14, 14)
    assert TorchvisionVitBackbone(model).prefix_tokens == 1
    assert TorchvisionVitBackbone(model).has_class_token
    assert TorchvisionVitBackbone(model).in_channels == 3
    assert TorchvisionVitBackbone(model).pool is None
    with pytest.raises(MergeMixError, match="VisionTransformer has no attention pool"):
        TorchvisionVitBackbone(model).pool_attention(randn(1, 2, 3))

"""torchvision's VisionTransformer, patched: what is special to it beside what holds for every family."""

import pytest
import torch
from torch import nn
from torchvision.models import vit_b_16
from torchvision.models.vision_transformer import ConvStemConfig, EncoderBlock

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.torchvision_vit import TorchvisionVitBackbone
from timm_mergemix.merge.matching.tokens import recover

from ...models import images, tiny_torchvision
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
        wanted = EncoderBlock.forward(block, x)
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
    with model.opened(recovering=False):
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
    assert len(seen) == 3
    for wanted, layer in zip(seen, rec.layers, strict=True):
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


class Scaled(nn.MultiheadAttention):
    """A user's subclass."""

    def forward(self, *args, **kwargs):
        out, weights = super().forward(*args, **kwargs)
        return 3 * out, weights


class Adapter(nn.Module):
    """An adapter as libraries wrap them around a module: it changes the weights for the time of the call."""

    def __init__(self, base_layer):
        super().__init__()
        self.base_layer = base_layer

    def forward(self, *args, **kwargs):
        with torch.no_grad():
            self.base_layer.in_proj_weight.mul_(2)
            try:
                return self.base_layer(*args, **kwargs)
            finally:
                self.base_layer.in_proj_weight.div_(2)


def replaced(kind):
    """A model and a function that changes its attention, in a way that a plain model heeds."""
    model = tiny_torchvision()
    for block in layers(model):
        old = block.self_attention
        if kind is Scaled:
            block.self_attention = Scaled(48, 3, batch_first=True).eval()
            block.self_attention.load_state_dict(old.state_dict())
        elif kind is Adapter:
            block.self_attention = Adapter(old)
        elif kind == "hook":
            old.register_forward_hook(lambda module, args, output: (3 * output[0], output[1]))
    return model


@pytest.mark.parametrize("kind", [Scaled, Adapter, "hook"])
@pytest.mark.parametrize("r", [0, [0, 4, 2]])
def test_the_attention_is_called_whatever_it_is(kind, r):
    model, x = replaced(kind), images(tiny_torchvision())
    pairs = x.repeat_interleave(2, 0)
    with mm.merging(model, r):
        got = model(pairs)
    plain = mm.patch(tiny_torchvision(), r)(pairs)
    assert not torch.allclose(got, plain)
    if r == 0:
        assert torch.equal(got, model(pairs))


@pytest.mark.parametrize("kind", [Scaled, Adapter])
def test_the_attention_that_is_read_is_that_of_the_module(kind):
    model, x = replaced(kind), images(tiny_torchvision())
    seen = []
    model.encoder.layers[1].self_attention.register_forward_pre_hook(
        lambda module, args: seen.append(module.forward(*args, average_attn_weights=True)[1][:, 0, 1:])
    )
    model(x)
    with mm.record(model) as rec:
        model(x)
    torch.testing.assert_close(rec.layers[1].attention, seen[0], rtol=1e-4, atol=1e-6)


def test_an_attention_without_torchs_own_is_refused():
    model = tiny_torchvision()
    layers(model)[0].self_attention = nn.Identity()
    with pytest.raises(MergeMixError, match=r"its blocks use Identity, which holds no nn\.MultiheadAttention"):
        mm.patch(model, 2)


def test_an_attention_that_was_replaced_after_the_patch_is_refused():
    model = mm.patch(tiny_torchvision(), 2)
    layers(model)[1].self_attention = Scaled(48, 3, batch_first=True).eval()
    with pytest.raises(MergeMixError, match="got an attention that was replaced while the model was patched"):
        model(images(model))


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

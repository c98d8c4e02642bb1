"""torchvision's vit_*, patched."""

import pytest
import torch
from torch import nn
from torchvision.models import vit_b_16
from torchvision.models.vision_transformer import ConvStemConfig

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.torchvision_vit import TorchvisionVitFamily
from timm_mergemix.merge.matching.tokens import log_size_bias, recover
from timm_mergemix.merge.patch import merging_state

from ...models import images, tiny_torchvision
from ..reference import alone, randn, relative_error, sequence_lengths

FAMILY = TorchvisionVitFamily()


def layers(model):
    return model.encoder.layers


def backward(model, x, seed=0):
    model.zero_grad()
    torch.manual_seed(seed)
    out = model(x)
    out.square().sum().backward()
    return out.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_r_0_is_the_identity():
    model = tiny_torchvision()
    x = images(model)
    wanted = model(x)
    assert torch.equal(mm.patch(model, 0)(x), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(x)
        assert torch.equal(mm.unpatch(model)(x), out)


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


def test_attention_over_merged_tokens_is_attention_over_repeated_ones():
    block = layers(mm.patch(tiny_torchvision(), 2))[1]
    x, size = randn(2, 7, 48), torch.tensor([1, 3, 1, 2, 5, 1, 4])
    first = size.cumsum(0) - size
    branch, keys = block.attention_branch(x, alone(log_size_bias(size.float().expand(2, -1), x.dtype)))
    wanted, wanted_keys = block.attention_branch(x.repeat_interleave(size, dim=1), alone())
    assert relative_error(branch, wanted[:, first]) <= 1e-5
    torch.testing.assert_close(keys, wanted_keys[:, first], rtol=1e-5, atol=1e-5)
    assert relative_error(block.attention_branch(x, alone())[0], wanted[:, first]) > 1e-2


@pytest.mark.parametrize("r", [[8, 0, 0], [0, 8, 0]])
def test_merging_identical_patches_changes_nothing(r):
    model = tiny_torchvision()
    with torch.no_grad():
        places = model.encoder.pos_embedding[:, 1:]
        places.copy_(places[:, ::2].repeat_interleave(2, dim=1))
    patches = randn(2, 3, 4, 2, 16, 16).repeat_interleave(2, dim=3)
    x = patches.permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 64, 64)
    wanted = model(x)
    with mm.record(mm.patch(model, r)) as rec:
        out = model(x)
    assert all(torch.equal(s[1:], torch.arange(8).repeat_interleave(2) + 1) for s in rec.layers[-1].source)
    assert relative_error(out, wanted) <= 1e-5
    mm.patch(model, r, prop_attn=False)
    assert relative_error(model(x), wanted) > 1e-3


def test_merged_forward_and_backward():
    model = mm.patch(tiny_torchvision(), 3).train()
    with mm.record(model) as rec:
        out, grads = backward(model, images(model))
    assert sequence_lengths(rec.layers) == list(mm.merge_info(model).tokens[1:]) == [14, 11, 8]
    assert out.isfinite().all()
    for name, grad in grads.items():
        assert grad.isfinite().all(), name
        assert grad.abs().max() > 0, name
    state = merging_state(model)
    assert (state.tokens, state.aside, state.observer) == (None, None, None)


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
def test_autocast(dtype):
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


def test_a_convolutional_stem():
    stem = [ConvStemConfig(out_channels=8, kernel_size=3, stride=4), ConvStemConfig(12, 3, 4)]
    model = tiny_torchvision(conv_stem_configs=stem)
    assert FAMILY.in_channels(model) == 3
    mm.patch(model, 3)
    assert model(images(model)).shape == (2, 10)


def test_what_the_family_knows():
    with torch.device("meta"):
        model = vit_b_16()
    assert mm.supported(model).blocks == 12
    assert FAMILY.default_size(model) == FAMILY.input_size(model, 30, 40) == (224, 224)
    assert FAMILY.grid_size(model, 224, 224) == (14, 14)
    assert FAMILY.prefix_tokens(model) == 1
    assert FAMILY.has_class_token(model)
    assert FAMILY.in_channels(model) == 3
    assert FAMILY.pool(model) is None
    with pytest.raises(MergeMixError, match="VisionTransformer has no attention pool"):
        FAMILY.pool_attention(model, randn(1, 2, 3))

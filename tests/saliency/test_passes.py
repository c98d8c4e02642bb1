from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import timm_mergemix as mm
from timm_mergemix import MergeMixError, saliency_map
from timm_mergemix.merge.model import MergingModel
from timm_mergemix.saliency.passes import SaliencyPass

from ..mix.batches import noise, quick
from ..models import images, tiny, tiny_torchvision

CLASS_TOKEN = [
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
]
NO_CLASS_TOKEN = ["vit_betwixt_patch16_reg4_gap_256", "vit_base_patch16_siglip_gap_224", "vit_medium_patch16_gap_256"]
DROPPING = {
    "drop_rate": 0.3,
    "proj_drop_rate": 0.3,
    "attn_drop_rate": 0.3,
    "drop_path_rate": 0.5,
    "patch_drop_rate": 0.25,
}


class TokenNorm(nn.BatchNorm1d):
    """BatchNorm over tokens (B, N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def with_batch_norm(**options: object) -> nn.Module:
    model = tiny(**options)
    model.patch_embed.norm = TokenNorm(48)
    model.blocks[0].norm1 = TokenNorm(48)
    return model


@torch.no_grad()
def entering(model: nn.Module, x: Tensor, layer: int) -> Tensor:
    """What enters a block of an unpatched model: the model runs as a whole, a hook looks."""
    seen: list[Tensor] = []
    with model.blocks[layer].register_forward_pre_hook(lambda module, args: seen.append(args[0])):
        model(x)
    return seen[0]


@torch.no_grad()
def attention_of(model: nn.Module, x: Tensor, layer: int) -> Tensor:
    """(B, N, N) attention of a block on tokens x, mean over heads, written out."""
    block, (batch, length, width) = model.blocks[layer], x.shape
    heads = block.attn.num_heads
    qkv = block.attn.qkv(block.norm1(x)).view(batch, length, 3, heads, width // heads)
    query = block.attn.q_norm(qkv[:, :, 0].transpose(1, 2))
    key = block.attn.k_norm(qkv[:, :, 1].transpose(1, 2))
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / (width // heads) ** 0.5
    return logits.softmax(-1).mean(1)


def normalised(attention: Tensor, rows: int, columns: int) -> Tensor:
    return (attention / attention.sum(1, keepdim=True)).view(-1, rows, columns)


def states(model: nn.Module) -> dict[str, object]:
    """All that a pass must leave as it was."""
    return {
        "modes": {name: module.training for name, module in model.named_modules()},
        "classes": {name: type(module) for name, module in model.named_modules()},
        "buffers": {name: buffer.clone() for name, buffer in model.named_buffers()},
        "wants": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "values": {name: parameter.clone() for name, parameter in model.named_parameters()},
        "hooks": {name: dict(module._forward_hooks) for name, module in model.named_modules()},
        "rng": torch.get_rng_state(),
    }


def assert_as_before(model: nn.Module, before: dict[str, object]) -> None:
    for name, value in states(model).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0) if name in (
            "buffers",
            "values",
            "rng",
        ) else None
        assert name in ("buffers", "values", "rng") or value == before[name], name
    assert all(parameter.grad is None for parameter in model.parameters())


@contextmanager
def counted(model: nn.Module) -> Iterator[list[int]]:
    """How often the attention of each block runs inside the context."""
    calls = [0] * len(model.blocks)

    def count(index: int) -> object:
        def hook(module: nn.Module, args: object, output: object) -> None:
            calls[index] += 1

        return hook

    handles = [block.attn.register_forward_hook(count(i)) for i, block in enumerate(model.blocks)]
    yield calls
    for handle in handles:
        handle.remove()


# What it computes


@pytest.mark.parametrize("name", CLASS_TOKEN)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_class_token_attention(name: str, layer: int) -> None:
    model = tiny(name)
    x = images(model, 3)
    row = attention_of(model, entering(model, x, layer), layer)[:, 0]
    torch.testing.assert_close(saliency_map(model, x, layer), normalised(row[:, model.num_prefix_tokens :], 4, 4))


@pytest.mark.parametrize("name", NO_CLASS_TOKEN)
@pytest.mark.parametrize("layer", [0, 2])
def test_attention_received(name: str, layer: int) -> None:
    model = tiny(name)
    x = images(model, 3)
    prefix = model.num_prefix_tokens
    received = attention_of(model, entering(model, x, layer), layer)[:, prefix:].mean(1)
    torch.testing.assert_close(saliency_map(model, x, layer), normalised(received[:, prefix:], 4, 4))


@pytest.mark.parametrize("layer", [0, 2])
def test_torchvision(layer: int) -> None:
    model = tiny_torchvision()
    x = images(model)
    block = model.encoder.layers[layer]
    seen: list[Tensor] = []
    with torch.no_grad(), block.register_forward_pre_hook(lambda module, args: seen.append(args[0])):
        model(x)
    with torch.no_grad():
        tokens = block.ln_1(seen[0])
        weights = block.self_attention(tokens, tokens, tokens, need_weights=True)[1]
    torch.testing.assert_close(saliency_map(model, x, layer), normalised(weights[:, 0, 1:], 4, 4), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["vit_base_patch16_siglip_224"])
@pytest.mark.parametrize("r", [0, 3])
def test_attention_of_the_pool(name: str, r: int) -> None:
    model = tiny(name)
    x = images(model, 3)
    pool = model.attn_pool
    seen: list[Tensor] = []
    with torch.no_grad(), mm.merging(model, r), pool.register_forward_pre_hook(lambda _, args: seen.append(args[0])):
        model(x)
    with torch.no_grad():
        tokens, heads = seen[0], pool.num_heads
        if pool.pos_embed is not None:
            tokens = tokens + pool.pos_embed
        query = pool.q_norm(pool.q(pool.latent).view(1, heads, 1, -1))
        key = pool.k_norm(pool.kv(tokens)[..., :48].view(3, -1, heads, 48 // heads).transpose(1, 2))
        weights = torch.einsum("bhqd,bhkd->bhqk", query.expand(3, -1, -1, -1), key) / (48 // heads) ** 0.5
    wanted = weights.softmax(-1).mean(1)[:, 0]
    torch.testing.assert_close(saliency_map(model, x, "pool", r), normalised(wanted, 4, 4))


@pytest.mark.parametrize("name", [*CLASS_TOKEN, *NO_CLASS_TOKEN])
@pytest.mark.parametrize("r", [2, [3, 4, 0]])
def test_merged_tokens_count_as_their_duplicates(name: str, r: object) -> None:
    """With the log-size bias and the division, a merged token is as good as the same token repeated."""
    model = tiny(name)
    x = images(model, 3)
    prefix, layer = model.num_prefix_tokens, 2
    seen: list[Tensor] = []
    with mm.merging(model, r):
        with mm.record(model, attention=False) as recording, torch.no_grad():
            model(x)
        source, size = recording.layers[layer - 1].source, recording.layers[layer - 1].size
        with model.blocks[layer].register_forward_pre_hook(lambda module, args: seen.append(args[0])), torch.no_grad():
            model(x)
    assert size.max() > 1
    repeated = seen[0].gather(1, source.unsqueeze(-1).expand(-1, -1, 48))
    attention = attention_of(model, repeated, layer)
    row = attention[:, 0] if model.has_class_token else attention[:, prefix:].mean(1)
    wanted = normalised(row[:, prefix:], 4, 4)
    torch.testing.assert_close(saliency_map(model, x, layer, r), wanted)
    copied = row[:, prefix:] * size.gather(1, source)[:, prefix:]
    torch.testing.assert_close(saliency_map(model, x, layer, r, divide=False), normalised(copied, 4, 4))


@settings(quick, max_examples=25)
@given(st.integers(1, 4), st.integers(-3, 2), st.sampled_from([None, 0, 2, 5, ("keep", 0.5), ("total", 7)]))
def test_maps_sum_to_1(batch: int, layer: int, r: object) -> None:
    model = MODEL
    saliency = saliency_map(model, images(model, batch), layer, r)
    assert saliency.shape == (batch, 4, 4)
    assert saliency.dtype == torch.float32
    assert not saliency.requires_grad
    assert (saliency > 0).all()
    torch.testing.assert_close(saliency.sum((1, 2)), torch.ones(batch))


MODEL = tiny()


def test_layers_count_from_both_ends() -> None:
    x = images(MODEL)
    for layer in range(3):
        assert torch.equal(saliency_map(MODEL, x, layer), saliency_map(MODEL, x, layer - 3))
    assert torch.equal(saliency_map(MODEL, x), saliency_map(MODEL, x, 1))
    shallow = tiny(depth=1)
    assert torch.equal(saliency_map(shallow, x), saliency_map(shallow, x, 0))


def test_maps_lie_on_the_image_as_they_should() -> None:
    """In block 0 a key is made of its patch alone: one patch changes its share, and no proportion of the others."""
    model = tiny(dynamic_img_size=True, num_heads=1)
    x = noise(1, 3, 32, 96)
    before = saliency_map(model, x, 0)
    assert before.shape == (1, 2, 6)
    for row, column in ((0, 0), (0, 5), (1, 0), (1, 4)):
        changed = x.clone()
        changed[:, :, 16 * row : 16 * (row + 1), 16 * column : 16 * (column + 1)] += 3
        factor = (saliency_map(model, changed, 0) / before).flatten()
        here = row * 6 + column
        others = torch.cat([factor[:here], factor[here + 1 :]])
        torch.testing.assert_close(others, others[:1].expand_as(others), rtol=1e-4, atol=0)
        assert abs(factor[here] / others[0] - 1) > 1e-2


def test_images_that_the_grid_does_not_divide() -> None:
    model = tiny(dynamic_img_size=True)
    x = noise(2, 3, 40, 90)
    whole = F.interpolate(x, (48, 96), mode="bilinear", antialias=True)
    assert torch.equal(saliency_map(model, x), saliency_map(model, whole))
    assert saliency_map(model, x).shape == (2, 3, 6)


# What it leaves alone


@pytest.mark.parametrize("r", [None, 0, 3])
def test_changes_nothing_in_training(r: object) -> None:
    model = with_batch_norm(**DROPPING).train()
    model.blocks[1].eval()
    model.blocks[2].attn.training = False
    next(model.parameters()).requires_grad_(False)
    x = images(model, 4)
    torch.manual_seed(0)
    before = states(model)
    saliency = saliency_map(model, x, r=r)
    assert_as_before(model, before)
    assert saliency.grad_fn is None
    # As in eval mode: no dropout, no patch dropout, running statistics.
    assert saliency.shape == (4, 4, 4)
    assert torch.equal(saliency, saliency_map(model.eval(), x, r=r))


@pytest.mark.parametrize("layer", [2, "pool"])
def test_no_block_records_a_graph(layer: object) -> None:
    model = tiny("vit_base_patch16_siglip_224").train()
    seen: list[bool] = []

    def look(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(torch.is_grad_enabled() or output.requires_grad)

    x = images(model).requires_grad_()
    with model.patch_embed.register_forward_hook(look), model.blocks[1].register_forward_hook(look):
        saliency_map(model, x, layer, r=2)
    assert seen == [False, False]


def test_batch_norm_would_have_changed() -> None:
    """The model of the test above is one whose statistics a pass in training mode changes."""
    model = with_batch_norm().train()
    before = model.patch_embed.norm.running_mean.clone()
    model(images(model, 4))
    assert not torch.equal(model.patch_embed.norm.running_mean, before)


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("where", ["blocks.0", "blocks.1.mlp", "patch_embed"])
def test_changes_nothing_when_the_encoder_fails(patched: bool, where: str) -> None:
    model = with_batch_norm(**DROPPING).train()
    model.blocks[2].eval()
    if patched:
        mm.patch(model, 2)

    class FailureError(RuntimeError):
        pass

    def fail(module: nn.Module, args: object) -> None:
        raise FailureError

    x = images(model, 2)
    before = states(model)
    for r in (None, 3):
        with model.get_submodule(where).register_forward_pre_hook(fail), pytest.raises(FailureError):
            saliency_map(model, x, layer=2, r=r)
        assert_as_before(model, before)
        assert isinstance(model, MergingModel) == patched
        if patched:
            assert mm.merge_info(model).r == 2
            assert model.merging.tokens is None
            assert model.merging.observer is None
    model.eval()
    assert torch.equal(saliency_map(model, x, r=2), saliency_map(mm.unpatch(model), x, r=2))


@pytest.mark.parametrize("r", [0, 2, ("keep", 0.5)])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_betwixt_patch16_reg4_gap_256"])
def test_patched_or_not_is_the_same(r: object, name: str) -> None:
    model, x = tiny(name), images(tiny(name))
    plain = saliency_map(model, x, r=r)
    assert type(model).__name__ == "VisionTransformer"
    mm.patch(model, 1, prop_attn=True)
    assert torch.equal(saliency_map(model, x, r=r), plain)
    assert mm.merge_info(model).r == 1
    mm.patch(model, r)
    assert torch.equal(saliency_map(model, x), plain)


def test_a_forward_after_it_is_the_same() -> None:
    model, x = mm.patch(tiny(), 3), images(tiny())
    wanted = model(x)
    saliency_map(model, x)
    assert torch.equal(model(x), wanted)
    saliency_map(model, x, r=5)
    assert torch.equal(model(x), wanted)


def test_inside_autocast_a_training_forward_still_gets_all_gradients() -> None:
    """A weight that autocast casts without gradient must not lie in its cache when the training forward casts it."""
    model = tiny().train()
    x = images(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        saliency = saliency_map(model, x, layer=2)
        loss = model(x).float().square().sum()
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert saliency.dtype == torch.float32
    torch.testing.assert_close(saliency, saliency_map(model, x, layer=2), rtol=0.1, atol=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x).dtype == torch.bfloat16  # the caller's autocast goes on
        assert torch.is_autocast_cache_enabled()


def test_the_pass_is_outside_the_autocast_cache() -> None:
    """torch 2.6 would hand the cast without gradient on to the training forward; newer ones look at the grad mode."""
    seen: list[tuple[bool, bool, torch.dtype]] = []

    def look(module: nn.Module, args: object) -> None:
        enabled = torch.is_autocast_enabled("cpu")
        seen.append((torch.is_autocast_cache_enabled(), enabled, torch.get_autocast_dtype("cpu")))

    model = tiny()
    for enabled in (True, False):
        with model.blocks[0].register_forward_pre_hook(look), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            saliency_map(model, images(model))
    assert seen == [(False, True, torch.bfloat16), (False, False, torch.bfloat16)]


def test_a_pool_that_is_read_along_is_outside_the_autocast_cache() -> None:
    model = tiny("vit_base_patch16_siglip_224").train()
    x = images(model)
    seen: list[tuple[bool, bool]] = []

    def look(module: nn.Module, args: object) -> None:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_cache_enabled()))

    with model.attn_pool.kv.register_forward_pre_hook(look), torch.autocast("cpu", torch.bfloat16):
        with SaliencyPass(model, layer="pool").reading(x) as read:
            loss = model(x).float().square().sum()
        assert read().shape == (len(x), 4, 4)
    assert seen == [(False, False), (True, True)]
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_the_images_are_untouched() -> None:
    for x in (images(MODEL), noise(2, 3, 64, 64, dtype=torch.uint8), noise(2, 3, 50, 70).requires_grad_()):
        before, version = x.detach().clone(), x._version
        saliency_map(MODEL, x)
        assert torch.equal(x, before)
        assert x._version == version
        assert x.grad is None


# What it costs


@pytest.mark.parametrize("r", [None, 3])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_only_the_blocks_before_it_run(layer: int, r: object) -> None:
    with counted(MODEL) as calls:
        saliency_map(MODEL, images(MODEL), layer, r)
    assert calls == [1] * layer + [0] * (3 - layer)


class Shapes(TorchDispatchMode):
    """Shapes of all tensors that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        out = func(*args, **(kwargs or {}))
        self.seen |= {tuple(t.shape) for t in (out if isinstance(out, (tuple, list)) else [out]) if hasattr(t, "shape")}
        return out


@pytest.mark.parametrize("name", CLASS_TOKEN)
def test_one_row_of_attention_is_computed(name: str) -> None:
    model = tiny(name, embed_dim=60)  # no width is a number of tokens
    tokens = 16 + model.num_prefix_tokens
    with Shapes() as shapes:
        saliency_map(model, images(model), 0)
    assert (2, 3, 1, tokens) in shapes.seen
    assert not [shape for shape in shapes.seen if shape[-2:] == (tokens, tokens)]


def test_no_merging_block_computes_a_square() -> None:
    with Shapes() as shapes:
        saliency_map(MODEL, images(MODEL), 0, r=4)
    assert not [shape for shape in shapes.seen if shape[-2:] == (17, 17)]


def test_the_whole_model_would_have_computed_a_square() -> None:
    """The test above can see one."""
    model = tiny()
    for block in model.blocks:
        block.attn.fused_attn = False
    with Shapes() as shapes:
        model(images(model))
    assert (2, 3, 17, 17) in shapes.seen


# Images of other kinds


def column(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)


def test_another_resolution_and_other_statistics() -> None:
    model = tiny()
    own = {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.5, 0.6, 0.7)}
    theirs = {"encoder_mean": (0.4, 0.5, 0.6), "encoder_std": (0.2, 0.3, 0.4)}
    pixels = torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    x = (pixels - column(0.1, 0.2, 0.3)) / column(0.5, 0.6, 0.7)
    right = (pixels - column(0.4, 0.5, 0.6)) / column(0.2, 0.3, 0.4)
    wanted = saliency_map(model, F.interpolate(right, (64, 64), mode="bilinear", antialias=True))
    torch.testing.assert_close(SaliencyPass(model, **own, **theirs)(x), wanted)
    assert (saliency_map(model, x) - wanted).abs().max() > 1e-3


def test_statistics_of_the_data_config_are_taken() -> None:
    model = tiny()
    config = model.pretrained_cfg
    explicit = {"encoder_mean": config["mean"], "encoder_std": config["std"]}
    own = {"image_mean": torch.tensor([0.1, 0.2, 0.3]), "image_std": [0.5]}
    x = images(model)
    assert torch.equal(SaliencyPass(model, **own)(x), SaliencyPass(model, **own, **explicit)(x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_uint8_is_the_float_path(layout: torch.memory_format) -> None:
    model = tiny()
    x = noise(2, 3, 64, 64, dtype=torch.uint8).to(memory_format=layout)
    config = model.pretrained_cfg
    right = (x.float() / 255 - column(*config["mean"])) / column(*config["std"])
    torch.testing.assert_close(saliency_map(model, x), saliency_map(model, right))
    given = SaliencyPass(model, encoder_mean=(0.0,), encoder_std=(1.0,))
    torch.testing.assert_close(given(x), saliency_map(model, x.float() / 255))


def test_grayscale() -> None:
    model = tiny(in_chans=1)
    x = noise(2, 1, 64, 64)
    assert saliency_map(model, x).shape == (2, 4, 4)
    with pytest.raises(MergeMixError, match=r"^images: got .*, wanted images of shape \(B, 1, H, W\)"):
        saliency_map(model, noise(2, 3, 64, 64))
    gray = noise(2, 1, 64, 64, dtype=torch.uint8)
    # Its data config still has three means.
    with pytest.raises(MergeMixError, match=r"^encoder_mean, encoder_std: got None, wanted 1 numbers"):
        saliency_map(model, gray)
    own = SaliencyPass(model, encoder_mean=(0.5,), encoder_std=(0.25,))
    torch.testing.assert_close(own(gray), saliency_map(model, (gray.float() / 255 - 0.5) / 0.25))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_of_another_dtype_than_the_encoder(dtype: torch.dtype) -> None:
    x = images(MODEL).to(dtype)
    assert torch.equal(saliency_map(MODEL, x), saliency_map(MODEL, x.float()))


def test_an_encoder_in_half_precision() -> None:
    model = copy.deepcopy(MODEL).bfloat16()
    x = images(MODEL)
    saliency = saliency_map(model, x, 1, 3)
    assert saliency.dtype == torch.float32
    torch.testing.assert_close(saliency.sum((1, 2)), torch.ones(2))


def test_wrapped_encoders() -> None:
    for wrapper in (torch.compile(MODEL, backend="eager"), nn.DataParallel(MODEL)):
        assert torch.equal(saliency_map(wrapper, images(MODEL)), saliency_map(MODEL, images(MODEL)))
    with pytest.raises(MergeMixError, match="encoder: got a module of class Sequential, wanted the VisionTransformer"):
        saliency_map(nn.Sequential(nn.Identity(), tiny()), images(MODEL))


def test_a_users_forward_hook_on_the_model_has_no_part_in_it() -> None:
    calls: list[int] = []
    with MODEL.register_forward_hook(lambda *args: calls.append(1)):
        saliency_map(MODEL, images(MODEL))
    assert calls == []


# Bad input


@pytest.mark.parametrize("layer", [3, -4, 1.0, True, "head", [1]])
def test_bad_layers(layer: object) -> None:
    with pytest.raises(MergeMixError, match=r"^layer: got .*, wanted an index from -3 to 2, 'pool' or None"):
        saliency_map(MODEL, images(MODEL), layer)


def test_pool_without_a_pool() -> None:
    with pytest.raises(MergeMixError, match=r"^layer: got 'pool', wanted .* no attention pool"):
        saliency_map(MODEL, images(MODEL), "pool")


@pytest.mark.parametrize("encoder", [None, "vit", torch.zeros(1), nn.Linear(2, 2), nn.Conv2d(3, 3, 3)])
def test_bad_encoders(encoder: object) -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: "):
        saliency_map(encoder, images(MODEL))


@pytest.mark.parametrize(
    "x",
    [
        None,
        torch.rand(3, 64, 64),
        torch.rand(0, 3, 64, 64),
        torch.rand(2, 4, 64, 64),
        torch.ones(2, 3, 64, 64, dtype=torch.int64),
        torch.full((2, 3, 64, 64), float("nan")),
    ],
)
def test_bad_images(x: object) -> None:
    before = states(MODEL)
    with pytest.raises(MergeMixError, match=r"^images: got"):
        saliency_map(MODEL, x)
    assert_as_before(MODEL, before)


def test_a_pass_checks_its_images_too() -> None:
    with pytest.raises(MergeMixError, match=r"^images: got a int64 tensor"):
        SaliencyPass(MODEL)(torch.ones(2, 3, 64, 64, dtype=torch.int64))


def test_an_encoder_that_skips_its_blocks() -> None:
    model = tiny()
    model.forward = lambda x: x
    with pytest.raises(MergeMixError, match=r"^layer: block 1 did not run"):
        saliency_map(model, images(model), r=0)


def test_a_map_without_any_attention_prefers_no_patch() -> None:
    x = images(MODEL)
    attention = torch.zeros(2, 16)
    attention[1, 3] = 0.5
    maps = SaliencyPass(MODEL)._on_grid(attention, x).flatten(1)
    assert torch.equal(maps[0], torch.full((16,), 1 / 16)) and torch.equal(maps[1], 2 * attention[1])


def test_another_device() -> None:
    with pytest.raises(MergeMixError, match=r"^images: got them on meta, wanted them on cpu, where the encoder is"):
        saliency_map(MODEL, torch.empty(2, 3, 64, 64, device="meta"))


def test_merging_must_leave_more_than_one_patch() -> None:
    model, merged = tiny(depth=5), tiny(depth=5)
    r = [8, 4, 2, 1, 0]
    wanted = "more than one of 16 patches before block 4"
    with pytest.raises(MergeMixError, match=wanted):
        mm.MergeMix(model, 10, saliency_r=r, layer=4)
    mm.MergeMix(model, 10, saliency_r=r, layer=3)
    saliency = SaliencyPass(merged, layer=4)
    mm.patch(merged, r=r)
    with saliency.reading(images(merged)) as read:
        merged(images(merged))
    with pytest.raises(MergeMixError, match=rf"r: got \[8, 4, 2, 1, 0\], wanted one that leaves {wanted}"):
        read()


@pytest.mark.parametrize("r", [-1, "keep", ("keep", 0.0), [1, 2], [0, 99, 0], ("total", 1000)])
def test_bad_r(r: object) -> None:
    before = states(MODEL)
    with pytest.raises(MergeMixError, match=r"^r"):
        saliency_map(MODEL, images(MODEL), r=r)
    assert_as_before(MODEL, before)


@pytest.mark.parametrize("name", ["image", "encoder"])
@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5, 0.5, 0.5), None),
        (None, (0.5, 0.5, 0.5)),
        ((0.5, 0.5), (0.5, 0.5)),
        ((0.5, 0.5, 0.5), (0.5, 0.0, 0.5)),
        ((0.5, 0.5, 0.5), (0.5, -1.0, 0.5)),
        ((float("nan"), 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("imagenet", "imagenet"),
        (("a", "b", "c"), (0.5, 0.5, 0.5)),
    ],
)
def test_bad_statistics(name: str, mean: object, std: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{name}_mean, {name}_std: got"):
        SaliencyPass(MODEL, **{f"{name}_mean": mean, f"{name}_std": std})


def test_statistics_of_the_images_need_those_of_the_encoder() -> None:
    with pytest.raises(MergeMixError, match=r"^encoder_mean, encoder_std: got None"):
        SaliencyPass(tiny_torchvision(), image_mean=(0.5,), image_std=(0.5,))


def test_attention_is_proportional_whatever_the_patch_says() -> None:
    encoder = tiny()
    x = images(encoder)
    expected = mm.saliency_map(mm.patch(encoder, r=4), x)
    mm.patch(encoder, r=4, prop_attn=False)
    torch.testing.assert_close(mm.saliency_map(encoder, x), expected, rtol=0, atol=0)
    assert mm.merge_info(encoder).prop_attn is False


@pytest.mark.parametrize("matching", ["random", "bipartite"])
def test_the_rng_stays_where_it_is_with_every_matching(matching):
    model = mm.patch(tiny(), 3, matching=matching)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    mm.saliency_map(model, images(model))
    assert torch.equal(torch.get_rng_state(), state)

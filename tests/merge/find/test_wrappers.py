"""What stands around a block or has changed its class is named, and the advice that is given works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.utils import parametrizations, parametrize, prune

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.wrappers import class_name

from ...models import images, tiny, tiny_torchvision
from ..patched import assert_unchanged, snapshot

needs_gloo = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs gloo")


def averaged() -> Any:
    """A model whose head reads all tokens."""
    return tiny(global_pool="avg")


class Own(nn.Module):
    """A user's wrapper of a block: a linear adapter after it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.adapter = nn.Linear(48, 48)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        return x + self.adapter(x)


class Same(nn.Module):
    """A parametrisation that changes nothing."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * 1.0


def parametrized(module: Any) -> Any:
    module.extra = nn.Parameter(torch.ones(2))
    parametrize.register_parametrization(module, "extra", Same())
    return module


def compiled(module: nn.Module) -> Any:
    return torch.compile(module, backend="eager")


def hooked(module: nn.Module) -> nn.Module:
    hooks = pytest.importorskip("accelerate.hooks")
    return hooks.add_hook_to_module(module, hooks.ModelHook())  # type: ignore[no-any-return]


def copied(model: Any) -> None:
    peft = pytest.importorskip("peft")
    peft.get_peft_model(model, peft.LoraConfig(target_modules=["qkv"], modules_to_save=["blocks.1"]))


def in_block(wrap: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.blocks[1] = wrap(model.blocks[1])

    return change


def in_attention(wrap: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.blocks[1].attn = wrap(model.blocks[1].attn)

    return change


def in_all(wrap: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.blocks = wrap(model.blocks)

    return change


def parametrize_positions(model: Any) -> None:
    parametrize.register_parametrization(model, "pos_embed", Same())


SEVERAL = r"blocks\.1 is a wrapper of class {} around Block; "
WRAPPED = {
    "checkpoint": (
        in_block(checkpoint_wrapper),
        SEVERAL.format("CheckpointWrapper") + r".*use model\.set_grad_checkpointing\(True\)",
    ),
    "compiled": (in_block(compiled), SEVERAL.format("OptimizedModule") + "compile the whole model instead"),
    "replicated": (in_block(nn.DataParallel), SEVERAL.format("DataParallel") + "wrap the whole model instead"),
    "sequential": (in_block(nn.Sequential), SEVERAL.format("Sequential") + "patch the model before its blocks are"),
    "own": (in_block(Own), SEVERAL.format(r"tests\.merge\.find\.test_wrappers\.Own") + r".*or name the .* by blocks="),
    "copied": (copied, r"ModulesToSaveWrapper around Block; .*leave the blocks out of modules_to_save"),
    "traced": (
        in_block(torch.fx.symbolic_trace),
        r"blocks\.1 is traced \(Block\); trace the whole model instead, after it was patched",
    ),
    "parametrized": (
        in_block(parametrized),
        r"parametrize has changed the class of blocks\.1 to ParametrizedBlock; patch the model first, and register",
    ),
    "hooked": (in_block(hooked), r"blocks\.1 has its own forward .* accelerate .*: patch the model before its"),
    "compiled attention": (
        in_attention(compiled),
        r"blocks\.1\.attn is a wrapper of class OptimizedModule; compile the whole model instead",
    ),
    "parametrized attention": (
        in_attention(parametrized),
        r"parametrize has changed the class of blocks\.1\.attn to ParametrizedAttention",
    ),
    "all compiled": (
        in_all(compiled),
        "blocks is a wrapper of class OptimizedModule around its blocks; wrap the whole",
    ),
    "all checkpointed": (
        in_all(checkpoint_wrapper),
        "blocks is a wrapper of class CheckpointWrapper around its blocks",
    ),
    "parametrized model": (parametrize_positions, "parametrize has changed its class to ParametrizedVisionTransformer"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_error_names_the_block_what_is_around_it_and_what_to_do(name: str) -> None:
    change, message = WRAPPED[name]
    model = tiny()
    change(model)
    before = snapshot(model)
    with pytest.raises(MergeMixError, match=message):
        mm.patch(model, 3)
    assert_unchanged(before, model)


def step(model: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs, and gradients of all parameters."""
    out = model(x)
    out.square().sum().backward()
    grads = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in model.parameters()]
    return out.detach(), grads


def assert_trains_as_merged(model: Any, x: Tensor) -> None:
    torch.testing.assert_close(step(model, x), step(mm.patch(averaged(), 3), x))


@pytest.fixture
def group() -> Iterator[Any]:
    """A group of one process, and its mesh."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def shard_blocks(model: nn.Module) -> nn.Module:
    return FullyShardedDataParallel(
        model, auto_wrap_policy=ModuleWrapPolicy({Block}), device_id=torch.device("cpu"), use_orig_params=True
    )


@needs_gloo
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_fsdp_wraps_the_blocks_of_a_patched_model(group: Any, checkpointing: bool) -> None:
    with pytest.raises(MergeMixError, match=r"blocks\.0 is a wrapper of class FullyShardedDataParallel around Block; "):
        mm.patch(shard_blocks(averaged()), 3)
    model = mm.patch(averaged(), 3)
    model.set_grad_checkpointing(checkpointing)
    x = images(model)
    sharded = shard_blocks(model)
    assert type(model.blocks[0]) is FullyShardedDataParallel
    assert_trains_as_merged(sharded, x)
    assert mm.merge_info(sharded).merges == (3, 3, 3)
    with mm.merging(sharded, 0):
        torch.testing.assert_close(sharded(x), averaged()(x))
    torch.testing.assert_close(mm.unpatch(sharded)(x), averaged()(x))


@needs_gloo
@pytest.mark.skipif(torch.__version__ < (2, 7), reason="FSDP2 of torch 2.6 needs an accelerator")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_fully_shard_takes_a_patched_model(group: Any, checkpointing: bool) -> None:
    plain = averaged()
    fully_shard(plain.blocks[0], mesh=group)
    with pytest.raises(MergeMixError, match=r"fully_shard has changed the class of blocks\.0 to FSDPBlock; patch"):
        mm.patch(plain, 3)
    model = mm.patch(averaged(), 3)
    model.set_grad_checkpointing(checkpointing)
    x = images(model)
    for part in (*model.blocks, model):
        fully_shard(part, mesh=group)
    assert_trains_as_merged(model, x)
    for change in (mm.merge_info, mm.unpatch, lambda m: mm.patch(m, 2)):
        with pytest.raises(MergeMixError, match=r"fully_shard has changed its class .*; once it is sharded it only"):
            change(model)


def test_merging_blocks_checkpoint_themselves() -> None:
    model = mm.patch(averaged(), 3)
    model.set_grad_checkpointing(True)
    assert_trains_as_merged(model, images(model))


@pytest.mark.parametrize("reentrant", [False, True])
def test_one_checkpoint_may_stand_around_all_blocks(reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        num_prefix_tokens = 1

        def __init__(self, checkpointing: bool) -> None:
            super().__init__()
            self.layers = tiny().blocks
            self.checkpointing = checkpointing

        def forward(self, x: Tensor) -> Tensor:
            if self.checkpointing:
                return torch.utils.checkpoint.checkpoint(self.layers, x, use_reentrant=reentrant)
            return self.layers(x)

    x = torch.randn(2, 17, 48, generator=torch.Generator().manual_seed(0), requires_grad=True)
    results = [step(mm.patch(Checkpointed(checkpointing), 3), x) for checkpointing in (False, True)]
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("wrap", [compiled, hooked, nn.Sequential])
def test_blocks_of_a_patched_model_may_be_wrapped_and_it_is_still_known(wrap: Callable[[Any], Any]) -> None:
    model = mm.patch(averaged(), 3)
    x = images(model)
    for i in (1, 2):
        model.blocks[i] = wrap(model.blocks[i])
    assert_trains_as_merged(model, x)
    assert mm.merge_info(mm.patch(model, 2)).merges == (2, 2, 2)
    torch.testing.assert_close(model(x), mm.patch(averaged(), 2)(x))
    with mm.merging(model, 0):
        torch.testing.assert_close(model(x), averaged()(x))


def test_a_parametrised_block_of_a_patched_model_runs_and_says_how_to_go_back() -> None:
    model = mm.patch(averaged(), 3)
    parametrized(model.blocks[1])
    torch.testing.assert_close(model(images(model)), mm.patch(averaged(), 3)(images(model)))
    with pytest.raises(MergeMixError, match=r"changed the class of blocks\.1 .*remove_parametrizations gives it back"):
        mm.unpatch(model)
    parametrize.remove_parametrizations(model.blocks[1], "extra")
    mm.unpatch(model)
    torch.testing.assert_close(model(images(model)), averaged()(images(model)))


def test_blocks_inside_a_users_wrappers_are_named_one_by_one() -> None:
    model: Any = averaged()
    model.blocks = nn.Sequential(*map(Own, model.blocks))
    x, plain = images(model), model(images(model))
    mm.patch(model, 3, blocks=[wrapper.block for wrapper in model.blocks])
    with pytest.raises(MergeMixError, match=r"block 1: got other tokens, .* with adapters=True"):
        model(x)
    mm.patch(model, 3, adapters=True)
    with mm.record(model, attention=False) as rec:
        assert not torch.allclose(model(x), plain, rtol=1e-3)
    assert [layer.size.shape[1] for layer in rec.layers] == [14, 11, 8]
    assert torch.equal(mm.unpatch(model)(x), plain)


def test_a_users_wrapped_blocks_are_named_as_such() -> None:
    holder = nn.ModuleDict({"layers": nn.ModuleList(map(Own, tiny().blocks))})
    with pytest.raises(MergeMixError, match=r"layers\.0 is a wrapper of class .*Own around Block; patch the model"):
        mm.patch(holder, 3, prefix_tokens=1)


def lora(model: Any) -> Any:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(model, peft.LoraConfig(target_modules=["qkv", "proj", "fc1"], init_lora_weights=False))


def normed(model: Any) -> Any:
    parametrizations.weight_norm(model.blocks[1].attn.qkv)
    parametrizations.spectral_norm(model.blocks[2].attn.qkv)
    return model


def pruned(model: Any) -> Any:
    prune.l1_unstructured(model.blocks[1].attn.qkv, "weight", amount=0.5)
    return model


def offloaded(model: Any) -> Any:
    accelerate = pytest.importorskip("accelerate")
    return accelerate.cpu_offload(model, execution_device=torch.device("cpu"))


def quantised(model: Any) -> Any:
    class Int8(nn.Module):
        """As quantisers replace a linear: its weight is a buffer of integers."""

        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.scale = float(linear.weight.detach().abs().max()) / 127
            self.register_buffer("packed", (linear.weight.detach() / self.scale).round().to(torch.int8))
            self.register_buffer("offset", linear.bias.detach())

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.packed.to(x.dtype) * self.scale, self.offset)

    for block in model.blocks:
        block.attn.qkv, block.mlp.fc1 = Int8(block.attn.qkv), Int8(block.mlp.fc1)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", [lora, normed, pruned, offloaded, quantised])
def test_what_is_changed_inside_attention_and_mlp_is_used(change: Callable[[Any], Any]) -> None:
    x = images(averaged())
    torch.manual_seed(0)
    first = change(mm.patch(averaged(), 3)).eval()(x)
    torch.manual_seed(0)
    model = change(averaged()).eval()
    plain = model(x)
    torch.testing.assert_close(mm.patch(model, 3)(x), first)
    assert not torch.allclose(first, plain, rtol=1e-3)
    if change is not offloaded:
        assert not torch.allclose(first, mm.patch(averaged(), 3)(x), rtol=1e-3)
    torch.testing.assert_close(mm.unpatch(model)(x), plain)


def test_classes_of_other_packages_are_named_with_their_module() -> None:
    assert [class_name(cls) for cls in (Block, nn.Linear, Own)] == ["Block", "Linear", f"{__name__}.Own"]


def test_the_compiled_encoder_of_torchvision_is_refused_and_a_checkpointed_one_works() -> None:
    model: Any = tiny_torchvision()
    x = images(model)
    model.encoder.layers = compiled(model.encoder.layers)
    with pytest.raises(MergeMixError, match=r"encoder\.layers is a wrapper of class OptimizedModule around its blocks"):
        mm.patch(model, 3)
    model = mm.patch(tiny_torchvision(), 3)
    model.encoder.layers = checkpoint_wrapper(model.encoder.layers)
    torch.testing.assert_close(step(model, x), step(mm.patch(tiny_torchvision(), 3), x))

"""What cannot be patched is refused with its reason."""

import pytest
import timm
import torch
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families import BLOCKS
from timm_mergemix.merge.find.search import find_backbone

from ...models import tiny
from ..families.cases import BUILDERS, blocks, images
from ..reference import Wrapper


class OwnBlock(timm.models.vision_transformer.Block):
    pass


class OwnTransformer(VisionTransformer):
    """A user's subclass, which may compute something else."""


class OwnAttention(Attention):
    """A user's subclass."""


def with_own_attention():
    model = tiny()
    model.blocks[1].attn = OwnAttention(48, 3)
    return model


def with_a_foreign_block():
    model = tiny()
    model.blocks[2] = nn.Identity()
    return model


def without_blocks():
    model = tiny()
    model.blocks = nn.Sequential()
    return model


def scripted():
    return torch.jit.script(nn.Linear(2, 2))


def sharded():
    model = tiny()
    model.__class__ = type("FSDPVisionTransformer", (type("FSDPModule", (), {}), type(model)), {})
    return model


REFUSED = {
    "hooks": (
        lambda: timm.create_model("vit_tiny_patch16_224", features_only=True, feature_cls="hook"),
        "its hooks see merged tokens; feature_cls='getter' gives all of them",
    ),
    "sharded": (sharded, "fully_shard has changed its class; patch a model before it is sharded"),
    "resnet18": (
        lambda: timm.create_model("resnet18"),
        "ResNet is not supported: there is no merging class for ResNet",
    ),
    "swin": (lambda: timm.create_model("swin_tiny_patch4_window7_224"), "works? on windows of the grid of patches"),
    "mixer": (lambda: timm.create_model("mixer_s32_224"), "no merging class for MlpMixer with MixerBlock blocks"),
    "tnt": (lambda: timm.create_model("tnt_s_patch16_224"), "a second stream of pixel tokens"),
    "several stages": (lambda: timm.create_model("pit_ti_224"), r"blocks='transformers\.2\.blocks'"),
    "block class": (
        lambda: tiny(block_fn=OwnBlock),
        r"blocks\.0 is of class tests\.\S+\.OwnBlock, for which there is no merging class",
    ),
    "subclass": (
        lambda: OwnTransformer(depth=1, embed_dim=48, num_heads=3),
        "a subclass of VisionTransformer that may",
    ),
    "attention": (with_own_attention, "its blocks use OwnAttention, only timm's plain and"),
    "block": (with_a_foreign_block, r"blocks\.2 is of class Identity, for which"),
    "no blocks": (without_blocks, "it has no transformer blocks"),
    "scripted": (scripted, "it is scripted or traced; patch the model before"),
    "wrapper": (
        lambda: Wrapper(nn.Linear(2, 2)),
        r"supported: there is no merging class for tests\.merge\.reference\.Wrapper$",
    ),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_with_class_and_reason(name):
    build, reason = REFUSED[name]
    model = build()
    with pytest.raises(MergeMixError, match=rf"^model: {type(model).__name__} is not supported: "):
        find_backbone(model)
    with pytest.raises(MergeMixError, match=reason):
        find_backbone(model)


def test_shared_blocks_are_refused():
    one, other = tiny(), tiny()
    other.blocks = one.blocks
    mm.patch(one, 2)
    with pytest.raises(MergeMixError, match=r"blocks\.0 is patched already, as part of another module"):
        mm.patch(other, 4)
    assert mm.merge_info(one).r == 2
    twice = tiny()
    twice.blocks[2] = twice.blocks[0]
    with pytest.raises(MergeMixError, match="the same block stands in it more than once"):
        mm.patch(twice, 2)


def share_attention(model):
    model.blocks[1].attn = model.blocks[0].attn


def share_positions(model):
    for block in model.blocks:
        block.attn.rel_pos = model.blocks[0].attn.rel_pos


@pytest.mark.parametrize(
    ("case", "share"),
    [("vit", share_attention), ("cait", share_attention), ("beit", share_attention), ("relpos", share_positions)],
)
def test_blocks_that_share_a_module_are_refused_before_anything_has_changed(case, share):
    model = BUILDERS[case]()
    share(model)
    before = {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}
    with pytest.raises(MergeMixError, match="two of its blocks share a module inside their attention"):
        mm.patch(model, 3)
    assert before == {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}


@pytest.mark.parametrize("case", ["vit", "cait", "beit", "relpos"])
def test_two_models_cannot_share_what_patching_changes(case):
    one, other = BUILDERS[case](), BUILDERS[case]()
    other.blocks[2].attn = one.blocks[2].attn
    mm.patch(one, 3)
    with pytest.raises(MergeMixError, match="is part of another model that is patched"):
        mm.patch(other, 3)
    mm.unpatch(one)
    mm.unpatch(mm.patch(other, 3))


@pytest.mark.parametrize("case", ["vit", "cait", "beit", "relpos"])
def test_an_attention_replaced_while_patched_is_an_error_and_unpatch_still_works(case):
    model, spare = BUILDERS[case](), BUILDERS[case]()
    mm.patch(model, 3)
    model.blocks[1].attn = spare.blocks[1].attn
    with pytest.raises(MergeMixError, match="an attention that was replaced while the model was patched"):
        model(images(model))
    mm.unpatch(model)
    assert type(model) is type(spare) and type(model.blocks[1]) is type(spare.blocks[1])
    assert model(images(model)).isfinite().all()


def test_a_block_with_a_forward_of_its_own_is_refused():
    model = tiny()
    model.blocks[1].forward = model.blocks[1].forward
    with pytest.raises(MergeMixError, match=r"blocks\.1 has its own forward"):
        mm.patch(model, 2)


@pytest.mark.parametrize("case", ["vit", "parallel things", "eva", "beit", "relpos", "cait", "torchvision"])
def test_an_attention_with_a_forward_of_its_own_is_refused(case):
    model = BUILDERS[case]()
    block = blocks(model)[1]
    attention = BLOCKS[type(block)].attentions(block)[-1]
    attention.forward = attention.forward
    with pytest.raises(MergeMixError, match=r"the attention \S+[._]1\.\S+ has its own forward .*record shows"):
        mm.patch(model, 2)
    assert not mm.supported(model)
    del attention.forward
    mm.patch(model, 2)
    attention.forward = attention.forward
    mm.unpatch(model)  # takes it as it is
    assert type(blocks(model)[1]) in BLOCKS


def test_a_part_of_blocks_is_refused_by_its_own_name():
    model = tiny()
    with pytest.raises(MergeMixError, match=r"^blocks: some .* patched: blocks\.0\.norm1 is of class LayerNorm"):
        mm.patch(model, 2, blocks=model.blocks[0])


def test_symbolic_traces_are_refused_where_something_merges():
    assert create_feature_extractor(mm.patch(tiny(), 0), ["blocks.1"])(images(tiny()))["blocks.1"].shape == (2, 17, 48)
    with pytest.raises(MergeMixError, match=r"torch\.fx's symbolic trace of a patched model, .* forward_intermediates"):
        create_feature_extractor(mm.patch(tiny(), 4), ["blocks.1"])


def test_a_compiled_block_is_refused_with_a_hint():
    model = tiny()
    model.blocks[1] = torch.compile(model.blocks[1])
    with pytest.raises(
        MergeMixError,
        match=r"blocks\.1 is a wrapper of class OptimizedModule around Block; compile the whole model instead",
    ):
        mm.patch(model, 2)


def test_a_model_that_was_sharded_after_the_patch_is_named_as_such():
    model = mm.patch(tiny(), 3)
    model.__class__ = type("FSDPPatched", (type("FSDPModule", (), {}), type(model)), {})
    with pytest.raises(MergeMixError, match="has changed its class to FSDPPatched; once it is sharded it only runs"):
        mm.unpatch(model)

"""Models by size and by name, with token merging or without."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.training.model import build_model, describe_tokens, small_vit, tokens_kept, train_merged


def test_small_vit() -> None:
    model = small_vit((1, 8, 12), patch_size=4, num_classes=3, width=64, depth=2)
    assert model(torch.randn(2, 1, 8, 12)).shape == (2, 3)
    assert len(model.blocks) == 2 and model.blocks[0].attn.num_heads == 2
    # Patches of one row share half of their position, so that places can be told apart from the first step.
    positions = model.pos_embed[0, 1:].detach()
    assert len({position.numpy().tobytes() for position in positions}) == 6


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"width": 40}, "multiple of 32"),
        ({"depth": 0}, "depth: got 0"),
        ({"patch_size": 3}, "multiples of the patch size 3"),
    ],
)
def test_sizes_that_do_not_fit(bad: dict[str, int], message: str) -> None:
    sizes = {"patch_size": 4, "num_classes": 3, "width": 32, "depth": 1} | bad
    with pytest.raises(mm.MergeMixError, match=message):
        small_vit((1, 8, 8), **sizes)


def test_build_model() -> None:
    kwargs = {"depth": 2, "embed_dim": 48, "num_heads": 3}
    model = build_model("vit_tiny_patch16_224", 5, img_size=32, kwargs=kwargs)
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 5)


def test_models_without_an_image_size() -> None:
    model = build_model("test_resnet", 4, img_size=32).eval()
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vit_tini_patch16_224", {}, "such as .*vit_tiny_patch16_224"),
        ("test_vit", {"kwargs": {"colour": 1}}, "does not take these arguments.*colour"),
        ("test_vit", {"kwargs": {"num_heads": 7}}, "could not be built"),
    ],
)
def test_models_that_cannot_be_built(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(mm.MergeMixError, match=message):
        build_model(name, 3, **options)


def test_without_a_network_weights_come_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise FileNotFoundError("no connection")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(mm.MergeMixError, match=r"no connection Weights of a file \(--weights\)"):
        build_model("test_vit", 3, pretrained=True)
    with pytest.raises(mm.MergeMixError, match=r"no connection$"):
        build_model("test_vit", 3)


def test_merging() -> None:
    model = small_vit((1, 16, 16), 4, 3, width=32, depth=3)
    assert train_merged(model, None) is train_merged(model, 0) is model
    assert tokens_kept(model) == "16 of 16"
    keys = list(model.state_dict())
    assert tokens_kept(train_merged(model, 2)) == "10 of 16"
    assert list(model.state_dict()) == keys
    with pytest.raises(mm.MergeMixError, match="not supported"):
        train_merged(build_model("test_resnet", 3), 2)


def test_a_line_says_how_many_tokens_are_left() -> None:
    model = small_vit((1, 16, 16), 4, 3, width=32, depth=3)
    assert describe_tokens(train_merged(model, 0), 0, (16, 16)) == "Token merging: off."
    line = "Token merging: 17 tokens enter the first block; 15, 13, 11 leave the blocks."
    assert describe_tokens(train_merged(model, "total:6"), "total:6", (16, 16)) == line

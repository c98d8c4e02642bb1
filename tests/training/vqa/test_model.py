"""The small LLaVA: its size, its weights, and the layer of the vision model that the language model reads."""

import sys

import pytest
import torch

from timm_mergemix.errors import MissingPackageError
from timm_mergemix.training.vqa.model import PATCH, count_places, small_llava

from .made import PLACES, SIZE, data


def build(size: int = SIZE, vocabulary: int = 31, seed: int = 0, **widths: int) -> torch.nn.Module:
    pytest.importorskip("transformers", minversion="5.18")
    torch.manual_seed(seed)
    return small_llava(size, vocabulary, **widths)


def test_the_seed_determines_the_weights() -> None:
    first, second, other = (build(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_model_has_half_a_million_parameters() -> None:
    count = sum(parameter.numel() for parameter in build(64).parameters())
    assert 400_000 < count < 600_000


def test_an_image_takes_one_token_per_patch() -> None:
    assert PATCH == 8
    assert count_places(build()) == PLACES == 16 and count_places(build(64)) == 64
    made = data()
    model, batch = build(vocabulary=len(made.words)), made.train(range(4))
    arguments = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    assert model(**arguments).logits.shape == (*batch["input_ids"].shape, len(made.words))


def test_matrices_have_a_standard_deviation_of_a_tenth_and_biases_are_0() -> None:
    for name, parameter in build(64).named_parameters():
        if parameter.ndim == 2 and "position" not in name:
            assert parameter.std().item() == pytest.approx(0.1, rel=0.05), name
        if name.endswith("bias"):
            assert not parameter.any(), name
    patches = build().model.vision_tower.get_parameter("embeddings.patch_embedding.weight")
    assert patches.std().item() == pytest.approx((3 * PATCH * PATCH) ** -0.5, rel=0.05)


def test_the_language_model_reads_the_second_of_three_vision_layers() -> None:
    made = data()
    model = build(vocabulary=len(made.words))
    batch = made.train(range(4))
    arguments = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values", "labels")}
    model(**arguments).loss.backward()
    layers = model.model.vision_tower.encoder.layers
    moved = [any(p.grad is not None and p.grad.any() for p in layer.parameters()) for layer in layers]
    assert moved == [True, True, False]


def test_widths_can_be_set() -> None:
    model = build(width=32, text_width=48)
    assert model.config.vision_config.hidden_size == 32 and model.config.text_config.hidden_size == 48
    assert model.model.multi_modal_projector.linear_1.weight.shape == (48, 32)


def test_the_error_for_missing_transformers_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match=r'transformers.*pip install "timm-mergemix\[vlm-demo\]"'):
        small_llava(SIZE, 31)

"""A patched model is saved under the names that its weights have on disk, which need not be those of its modules."""

import pytest
import torch

import timm_mergemix as mm

transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 4,
}
CASES = {
    "vit": ("ViTForImageClassification", "ViTConfig"),
    "dinov2": ("Dinov2Model", "Dinov2Config"),
    "dinov3": ("DINOv3ViTModel", "DINOv3ViTConfig"),
    "clip": ("CLIPVisionModelWithProjection", "CLIPVisionConfig"),
    "siglip": ("SiglipVisionModel", "SiglipVisionConfig"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_file_is_that_of_the_unpatched_model_and_can_be_read_by_both_classes(case, tmp_path):
    name, config = CASES[case]
    model = getattr(transformers, name)(getattr(transformers, config)(**SIZES))
    model.save_pretrained(tmp_path / "plain")
    mm.patch(model, 2).save_pretrained(tmp_path / "patched")
    plain, patched = (safetensors.load_file(tmp_path / side / "model.safetensors") for side in ("plain", "patched"))
    assert patched.keys() == plain.keys()
    assert all(torch.equal(patched[key], plain[key]) for key in plain)
    for cls in (getattr(transformers, name), type(model)):
        read = cls.from_pretrained(tmp_path / "patched").state_dict()
        assert all(torch.equal(read[key], value) for key, value in model.state_dict().items())

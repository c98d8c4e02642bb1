"""Preference training of a model whose processor cuts images into patches, so losers are made before the processor."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from PIL import Image

from timm_mergemix import MergeMixError, vlm

from .trainers import transformers

IMAGE, START, END, VIDEO = 90, 91, 92, 93
TEXT = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100,
}  # fmt: skip


def qwen():
    """A Qwen2.5-VL with random weights."""
    torch.manual_seed(0)
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32,
        "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1], "spatial_merge_size": 2,
    }  # fmt: skip
    text = {**TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}, "max_position_embeddings": 512}
    config = transformers.Qwen2_5_VLConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, video_token_id=VIDEO,
        vision_start_token_id=START, vision_end_token_id=END,
    )  # fmt: skip
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


class QwenCollator:
    """Cuts images into patches; prompts have one image token per four patches and are padded on the left."""

    def __init__(self):
        self.images = transformers.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112)

    def __call__(self, examples):
        seen = self.images(images=[each["image"] for each in examples], return_tensors="pt")
        rows = []
        for each, grid in zip(examples, seen["image_grid_thw"], strict=True):
            places = int(grid.prod()) // 4
            rows.append([START, *[IMAGE] * places, END, *each["question"], *each["answer_ids"]])
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        labels = torch.full_like(ids, -100)
        for row, each in enumerate(examples):
            labels[row, -len(each["answer_ids"]) :] = torch.tensor(each["answer_ids"])
        kinds = (ids == IMAGE).int()
        return {**seen, "input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": kinds}


def examples(count=4):
    sizes = [(80, 60), (56, 112), (60, 60), (112, 90)]
    return [
        {
            "image": Image.new("RGB", sizes[number % 4], (60 * number, 255 - 50 * number, 90)),
            "question": [10, 11],
            "answer_ids": [20 + number, 21 + number][: 1 + number % 2],
            "answer": f"thing {number}",
        }
        for number in range(count)
    ]


def encoder():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=64, embed_dim=32, depth=3, num_heads=2, num_classes=0)


@pytest.mark.parametrize("kind", ["mergemix", "random", "cutmix", "mixup", "resizemix"])
def test_qwen_learns_from_images_mixed_before_its_processor(kind):
    model = qwen().train()
    mixer = vlm.ImageMixer(encoder() if kind in ("mergemix", "random") else None, kind)
    batch = vlm.PairCollator(QwenCollator(), mixer)(examples())
    step = vlm.SequencePreferenceStep(model, None)
    output = step(batch)
    output.terms.total.backward()
    assert len(output.losers) == 4 and ((output.losers.ratio >= 0) & (output.losers.ratio < 1)).all()
    assert math.isfinite(output.terms.preference.item())
    assert torch.equal(output.losers.inputs["image_grid_thw"], batch["image_grid_thw"])  # as many tokens as the winner
    assert not torch.equal(output.losers.inputs["pixel_values"], batch["pixel_values"])
    assert model.model.visual.patch_embed.proj.weight.grad.abs().sum() > 0


def test_qwen_trains_in_transformers_loop(tmp_path):
    args = transformers.TrainingArguments(
        str(tmp_path), per_device_train_batch_size=2, gradient_accumulation_steps=2, max_steps=2, logging_steps=1,
        report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    collator = vlm.PairCollator(QwenCollator(), vlm.ImageMixer(kind="cutmix", leave_out=("thing",), still_right=None))
    everything = vlm.PairCollator(QwenCollator(), vlm.ImageMixer(kind="cutmix"))
    for collate, left_out in ((everything, 0.0), (collator, 1.0)):
        trainer = vlm.MergeMixTrainer(
            model=qwen(), args=args, train_dataset=examples(), data_collator=collate, preference=None
        )
        trainer.train()
        logs = [line for line in trainer.state.log_history if "loss" in line]
        assert [line["left_out"] for line in logs] == [left_out] * 2
        assert all(math.isfinite(line["loss"]) for line in logs)
        assert all(("preference_loss" in line) == (left_out == 0) for line in logs)


def test_a_step_with_a_mixer_refuses_images_in_patches():
    batch = QwenCollator()(examples())
    batch["answer"] = [each["answer"] for each in examples()]
    step = vlm.SequencePreferenceStep(qwen(), vlm.ImageMixer(kind="cutmix"))
    with pytest.raises(MergeMixError, match=r"^pixel_values: got .* make losers with timm_mergemix.vlm.PairCollator"):
        step(batch)


def test_examples_without_images_are_refused_with_a_hint():
    collator = vlm.PairCollator(QwenCollator(), vlm.ImageMixer(kind="cutmix"), image="picture")
    with pytest.raises(MergeMixError, match=r"^examples: got .*image, question.*remove_unused_columns=False"):
        collator(examples())

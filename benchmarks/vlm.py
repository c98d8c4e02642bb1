"""Measures what halving the image tokens of a vision-language model saves in vision model, prefill and training.

A LLaVA with random weights, unpatched and with half of its image tokens merged before the layer that is read. Both have
the same weights and run in turn in one process. There is one record per model and step; finished ones are kept.
"""

from __future__ import annotations

import argparse
import copy
import gc
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

import timm_mergemix as mm
from benchmarks.command import main
from benchmarks.records import Record, Records
from benchmarks.speed.report import machine
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import need
from timm_mergemix.tune.timing import interleave, ratio_of

__all__ = ["GO_ON", "SUMMARY", "Size", "add_arguments", "build", "run"]

SUMMARY = "Compare the time of a vision-language model with half of its image tokens and without merging."
GO_ON = "Finished steps are kept; continue with"
IMAGE_TOKEN, TEXT_TOKENS = 0, 64
STEPS = ("vision model", "prefill", "training step")


class Size(NamedTuple):
    """The size of a model: widths and depths of its vision model and its language model, and the size of its images.

    Attributes:
        vision: Width, depth and number of heads of the vision model.
        text: Width, depth and number of heads of the language model.
        pixels: Height and width of an image.
        patch: Height and width of a patch.
        vocabulary: Number of text tokens.
    """

    vision: tuple[int, int, int]
    text: tuple[int, int, int]
    pixels: int
    patch: int
    vocabulary: int

    @property
    def places(self) -> int:
        """Number of tokens of an image in a prompt."""
        return (self.pixels // self.patch) ** 2


SIZES = {
    "tiny": Size((64, 4, 4), (128, 4, 4), 112, 14, 1000),
    # CLIP ViT-L/14 at 336 pixels, as in LLaVA-1.5, with a language model that can be trained in 8 GB.
    "llava": Size((1024, 24, 16), (2048, 12, 16), 336, 14, 32000),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the program."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/vlm"), metavar="DIR", help="where records go")
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="names of the models to measure")
    add("--rounds", type=int, default=5, metavar="N", help="minimum number of rounds")
    add("--seconds", type=float, default=20.0, metavar="S", help="minimum time per step in seconds")


def run(args: argparse.Namespace) -> None:
    """Measures the missing steps and prints the table."""
    here = machine(torch.device("cpu")) | {"transformers": need("transformers", "the benchmark", "vlm").__version__}
    fields = ("ratio", "unpatched", "merged")
    records = Records(make_directory(args.out) / "vlm.jsonl", ("size", "step", "machine"), fields)
    wanted = [((name, step, here), name) for name in args.sizes for step in STEPS]
    found = records.run_missing(wanted, partial(measure, here=here, rounds=args.rounds, seconds=args.seconds))
    print(table(found))


def measure(names: list[str], here: dict[str, Any], rounds: int, seconds: float) -> Iterator[Record]:
    """Yields one record per step of the models with the given names."""
    for name in names:
        size = SIZES[name]
        plain = build(size)
        # The copy shares its parameters with the original.
        merged = copy.deepcopy(plain, {id(parameter): parameter for parameter in plain.parameters()})
        mm.patch(merged, ("total", size.places // 2))
        for step in STEPS:
            make = partial(make_step, step=step, size=size)
            steps = {"unpatched": make(plain), "merged": make(merged)}
            times = interleave(steps, rounds, torch.device("cpu"), seconds, warmup=1)
            medians = {each: statistics.median(times[each]) for each in steps}
            ratio = ratio_of(times["merged"], times["unpatched"])
            yield {"size": name, "step": step, "machine": here, "ratio": ratio._asdict(), **medians}
        del plain, merged, steps
        gc.collect()


def build(size: Size) -> Any:
    """Builds the model with random weights and a frozen vision model, as in the training of LLaVA."""
    transformers: Any = need("transformers", "the benchmark", "vlm")
    (width, depth, heads), (text_width, text_depth, text_heads) = size.vision, size.text
    vision = transformers.CLIPVisionConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        image_size=size.pixels,
        patch_size=size.patch,
    )
    text = transformers.LlamaConfig(
        hidden_size=text_width,
        num_hidden_layers=text_depth,
        num_attention_heads=text_heads,
        num_key_value_heads=text_heads,
        intermediate_size=text_width * 43 // 16,
        vocab_size=size.vocabulary,
    )
    torch.manual_seed(0)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN)
    model = transformers.LlavaForConditionalGeneration(config).eval()
    model.model.vision_tower.requires_grad_(False)
    return model


def make_step(model: Any, step: str, size: Size) -> Callable[[], object]:
    """Returns the steps that are timed, on one image and a text."""
    ids = torch.randint(1, size.vocabulary, (1, size.places + TEXT_TOKENS), generator=torch.Generator().manual_seed(0))
    ids[:, 1 : size.places + 1] = IMAGE_TOKEN
    pixels = torch.randn(1, 3, size.pixels, size.pixels, generator=torch.Generator().manual_seed(0))
    if step == "vision model":
        return torch.no_grad()(lambda: model.get_image_features(pixel_values=pixels))
    if step == "prefill":
        return torch.no_grad()(lambda: model(input_ids=ids, pixel_values=pixels, logits_to_keep=1))
    labels = ids.masked_fill(ids == IMAGE_TOKEN, -100)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(input_ids=ids, pixel_values=pixels, labels=labels).loss.backward()

    return train


def table(records: list[Record]) -> str:
    """Returns a Markdown table of the results."""
    rows = []
    for record in records:
        ratio = record["ratio"]
        interval = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
        seconds = f"{record['unpatched']:.3g} s", f"{record['merged']:.3g} s"
        rows.append([record["size"], record["step"], f"{ratio['value']:.2f}", interval, *seconds])
    return markdown_table(["model", "step", "merged / unpatched", "95 % interval", "unpatched", "merged"], rows)


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))

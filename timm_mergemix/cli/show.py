"""``timm-mergemix show``: mixes, token merging and its schedule, drawn for images and a model at hand."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, UnidentifiedImageError
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..arguments import R_FORMS, plain_r, read_r
from ..bench.timing import interleave
from ..errors import MergeMixError, check_int, wrong
from ..merge.patch import merge_info, merging
from ..merge.schedule import R
from ..mergemix import MergeMix
from ..optional import need
from ..training.model import build_model
from ..training.seeds import seed_all
from ..viz import merge_grid, mix_grid, schedule_plot
from ..weights import from_file
from .options import again_with, choose_device, make_directory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SUMMARY", "add_arguments", "again", "run"]

SUMMARY = "Draw what a model makes of images: mixes, token merging by block, and what merging saves."
GO_ON = "Pictures that were finished are kept; draw again with"
ROUNDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="image files, and directories of them")
    add("--model", default="deit_small_patch16_224", metavar="NAME", help="name of a timm model")
    add("--weights", type=Path, metavar="FILE", help="its weights; timm's if not given")
    add(
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with weights, rather than random ones",
    )
    add("--img-size", type=int, metavar="PIXELS", help="side of the images; the model's own if not given")
    add("--r", type=plain_r, default="keep:0.25", metavar="R", help=f"token merging: {R_FORMS}")
    add("--what", nargs="+", choices=tuple(DRAW), default=list(DRAW), help="which pictures")
    add("--rows", type=int, default=6, help="most images in a picture")
    add("--format", nargs="+", choices=("png", "svg"), default=["png"], help="of the pictures")
    add("--out", type=Path, default=Path("show"), metavar="DIR", help="where pictures go")
    add("--seed", type=int, default=0, help="all randomness follows it")
    add("--device", default="auto", help="cpu, cuda, ...; auto is a GPU where there is one")


def again(argv: Sequence[str]) -> str:
    """The command that draws again."""
    return again_with(argv)


def run(args: argparse.Namespace) -> None:
    """Draws the pictures and says where they are."""
    need("matplotlib.figure", "drawing", "viz")
    check_int("rows", args.rows, 1)
    device, what = choose_device(args.device, args.seed), list(dict.fromkeys(args.what))
    paths = find_images(args.images)[: args.rows]
    if len(paths) < 2 and "mix" in what:
        if what == ["mix"]:
            raise wrong("images", len(paths), "at least two, since a mix has two")
        what.remove("mix")
        print("One image: no mix is drawn.")
    scene = _load(args, paths, device)
    out = make_directory(args.out)
    for name in what:
        figure = DRAW[name](scene)
        for suffix in dict.fromkeys(args.format):
            figure.savefig(out / f"{name}.{suffix}")
            print(f"Wrote {out / f'{name}.{suffix}'}")


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        model: On its device, in eval mode.
        images: (B, C, H, W), normalised, there too.
        names: Of the images.
        config: How timm prepares images for the model.
        r: Token merging, as it was typed.
        seed: Draws the mixes.
    """

    model: nn.Module
    images: Tensor
    names: list[str]
    config: dict[str, Any]
    r: Any
    seed: int


def find_images(given: Sequence[Path]) -> list[Path]:
    """Files as they are given; of directories the images inside, sorted.

    Raises:
        MergeMixError: If there is nothing of that name, or a directory has no image.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix.lower() in IMG_EXTENSIONS)
            if not inside:
                raise wrong("images", str(path), "a directory with images in it")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise wrong("images", str(path), "an image file or a directory of them")
    return found


def _load(args: argparse.Namespace, paths: Sequence[Path], device: torch.device) -> Scene:
    weights = from_file(args.weights) if args.weights else {}
    seed_all(args.seed, 0)  # random weights follow it too
    model = build_model(args.model, 0, pretrained=args.pretrained, img_size=args.img_size, kwargs=weights)
    config = resolve_model_data_config(model, args={"img_size": args.img_size})
    shared = {name: config[name] for name in ("input_size", "interpolation", "mean", "std")}
    prepare = create_transform(is_training=False, crop_pct=1.0, **shared)
    images = torch.stack([prepare(_read(path)) for path in paths]).to(device)
    model = model.to(device).eval()
    with merging(model, read_r(args.r)):  # an r that does not fit is said now, before anything is drawn
        merge_info(model, config["input_size"][1:])
    return Scene(model, images, [path.stem for path in paths], config, args.r, args.seed)


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise MergeMixError(f"images: {path} cannot be read as an image: {error}") from error


def _mix(scene: Scene) -> Figure:
    seed_all(scene.seed, 0)
    mixer = MergeMix(scene.model, len(scene.images), mergemix_prob=1.0, mode="elem", saliency_r=read_r(scene.r))
    batch = mixer.mix(scene.images, torch.arange(len(scene.images), device=scene.images.device))
    return mix_grid(batch, scene.names, scene.config["mean"], scene.config["std"], len(scene.images))


def _merge(scene: Scene) -> Figure:
    statistics = {"mean": scene.config["mean"], "std": scene.config["std"]}
    return merge_grid(scene.model, scene.images, read_r(scene.r), rows=len(scene.images), **statistics)


def _schedule(scene: Scene) -> Figure:
    size, tokens, steps = (scene.images.shape[-2], scene.images.shape[-1]), {}, {}
    for name, r in (("unmerged", 0), (f"r = {scene.r}", read_r(scene.r))):
        with merging(scene.model, r):
            tokens[name] = merge_info(scene.model, size).tokens
        steps[name] = partial(_forward, scene, r)
    times = interleave(steps, ROUNDS, scene.images.device)
    return schedule_plot(tokens, {name: median(seconds) for name, seconds in times.items()})


def _forward(scene: Scene, r: R) -> None:
    with torch.inference_mode(), merging(scene.model, r):
        scene.model(scene.images)


DRAW: dict[str, Callable[[Scene], Figure]] = {"mix": _mix, "merge": _merge, "schedule": _schedule}

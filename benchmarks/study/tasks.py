"""The tasks: images, a model and its optimisation, either small enough for a CPU or full-size as in papers."""

from __future__ import annotations

from dataclasses import replace

from timm_mergemix.errors import check_choice
from timm_mergemix.training.optim import Optimisation
from timm_mergemix.training.sources import fashion_mnist, from_digits

from .clipart import Placement
from .drawn import FromClipart
from .large import FromTimm
from .memory import IMAGENET, FineTuning, InMemory, mnist5k, small, tiny
from .setup import Task

__all__ = ["DINOV2", "TASKS", "find_task"]

# Many epochs on few images, so that plain training overfits; this is where mixing helps.
SCRATCH = Optimisation(epochs=200, lr=2e-3, warmup_epochs=5, beta2=0.95)
TUNED = Optimisation(epochs=12, lr=5e-5, warmup_epochs=1)
OVERFITTING = Optimisation(epochs=40, lr=5e-5, warmup_epochs=3)
LARGE = Optimisation(epochs=200, lr=1e-3, warmup_epochs=20)
# Many tokens: half of the epochs, since each takes several times as long.
LONG = Optimisation(epochs=20, lr=5e-5, warmup_epochs=2)
DRAWN = Optimisation(epochs=100, lr=2e-3, warmup_epochs=5, beta2=0.95)
DINOV2 = FineTuning("vit_small_patch14_dinov2.lvd142m", 84)
ANYWHERE, SMALL = Placement(0.75), Placement(0.35, corner=True)
# Of each of 34 subjects; a batch is a tenth of the smaller number.
FEW, MORE, TENTH = 10, 24, 34


def _clipart(what: str, optimisation: Optimisation, r: int, set_up: FromClipart, amp: bool = False) -> Task:
    how = "ViT of 6 x 64 from scratch" if set_up.model is None else "DINOv2 ViT-S/14 fine-tuned"
    return Task(f"clip art, {what} at {set_up.size} px, {how}", optimisation, r, set_up, amp)


def _fine_tuned(
    size: int, r: int, placement: Placement = ANYWHERE, what: str = "10 of each class", amp: bool = False
) -> Task:
    optimisation = OVERFITTING if size == 112 else LONG
    return _clipart(what, optimisation, r, FromClipart(size, placement, FEW, TENTH, DINOV2.model), amp)


TASKS: dict[str, Task] = {
    "fashion": Task(
        "Fashion-MNIST, 500 images, ViT of 6 x 64 from scratch",
        SCRATCH,
        4,
        InMemory(fashion_mnist, (500, 5000, 10000), 50, small),
    ),
    "mnist": Task(
        "MNIST-5k, 250 images, ViT of 6 x 64 from scratch",
        SCRATCH,
        4,
        InMemory(mnist5k, (250, 750, 2500), 50, small),
    ),
    "digits": Task(
        "scikit-learn's digits, 300 images, ViT of 6 x 64 from scratch",
        SCRATCH,
        4,
        InMemory(from_digits, (300, 300, 360), 50, small),
    ),
    "dinov2": Task(
        "Fashion-MNIST, 1,000 images at 84 px, DINOv2 ViT-S/14 fine-tuned",
        TUNED,
        3,
        InMemory(fashion_mnist, (1000, 1000, 5000), 50, DINOV2.build, DINOV2.prepare, IMAGENET, 1000),
        amp=True,
    ),
    "dinov2-few": Task(
        "Fashion-MNIST, 200 images at 84 px, DINOv2 ViT-S/14 fine-tuned",
        OVERFITTING,
        2,
        InMemory(fashion_mnist, (200, 1000, 5000), 50, DINOV2.build, DINOV2.prepare, IMAGENET, 1000),
        amp=True,
    ),
    "openclipart": _fine_tuned(112, 3),
    "openclipart-small": _fine_tuned(112, 3, SMALL, "10 of each class, placed small"),
    "openclipart-more": _clipart(
        "up to 24 of each class", OVERFITTING, 3, FromClipart(112, ANYWHERE, MORE, TENTH, DINOV2.model)
    ),
    "openclipart-scratch": _clipart("up to 24 of each class", DRAWN, 3, FromClipart(112, ANYWHERE, MORE, TENTH, None)),
    "openclipart-small-scratch": _clipart(
        "up to 24 of each class, placed small", DRAWN, 3, FromClipart(112, SMALL, MORE, TENTH, None)
    ),
    "openclipart-168": _fine_tuned(168, 9),
    "openclipart-224": _fine_tuned(224, 16),
    "openclipart-518": _fine_tuned(518, 90, amp=True),  # for a GPU; on the CPU, bfloat16 took twice the time
    "fashion-full": Task(
        "Fashion-MNIST, 55,000 images, ViT-Tiny of 12 x 192 from scratch",
        Optimisation(epochs=100, lr=1e-3, warmup_epochs=5),
        4,
        InMemory(fashion_mnist, (55000, 5000, 10000), 250, tiny, hard=10000),
        amp=True,
    ),
    "cifar100": Task(
        "CIFAR-100, DeiT-S from scratch",
        LARGE,
        13,
        FromTimm("torch/cifar100", "deit_small_patch16_224", 100, 128),
        amp=True,
    ),
    "cars": Task(
        "Stanford Cars (image folder), DeiT-S fine-tuned",
        LARGE,
        13,
        FromTimm("", "deit_small_patch16_224", 196, 128, pretrained=True),
        amp=True,
    ),
    "imagenet": Task(
        "ImageNet-1K, DeiT-S from scratch",
        replace(LARGE, epochs=300, warmup_epochs=5),
        13,
        FromTimm("", "deit_small_patch16_224", 1000, 256),
        amp=True,
    ),
}


def find_task(name: str) -> Task:
    """Returns a task by name.

    Raises:
        MergeMixError: If there is no such task.
    """
    check_choice("task", name, tuple(TASKS))
    return TASKS[name]

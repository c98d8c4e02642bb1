"""The tasks: images, a model and its optimisation, either small enough for a CPU or full-size as in papers."""

from __future__ import annotations

from dataclasses import replace

from timm_mergemix.errors import check_choice
from timm_mergemix.training.optim import Optimisation
from timm_mergemix.training.sources import fashion_mnist, from_digits

from .large import FromTimm
from .memory import IMAGENET, FineTuning, InMemory, mnist5k, small
from .setup import Task

__all__ = ["DINOV2", "TASKS", "find_task"]

# Many epochs on few images, so that plain training overfits; this is where mixing helps.
SCRATCH = Optimisation(epochs=200, lr=2e-3, warmup_epochs=5, beta2=0.95)
TUNED = Optimisation(epochs=12, lr=5e-5, warmup_epochs=1)
OVERFITTING = Optimisation(epochs=40, lr=5e-5, warmup_epochs=3)
LARGE = Optimisation(epochs=200, lr=1e-3, warmup_epochs=20)
DINOV2 = FineTuning("vit_small_patch14_dinov2.lvd142m", 84)

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

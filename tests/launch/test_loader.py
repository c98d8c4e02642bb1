"""The loader that mixes on the device, and the check of the sizes that a script's loaders give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch

from timm_mergemix import MergeMixError, Mixup, patch
from timm_mergemix.launch.criterion import pack
from timm_mergemix.launch.loader import MixingLoader, create_loader, image_sizes
from timm_mergemix.launch.mixing import build_mixer
from timm_mergemix.merge.find.search import find_backbone

from .made import ask, running, tiny


class Batches:
    """A loader of three batches."""

    sampler = "a sampler"

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            yield torch.rand(4, 3, 8, 8, generator=generator), torch.arange(4)


def make_mixer() -> Mixup:
    return Mixup(num_classes=4, generator=torch.Generator().manual_seed(1))


def make_loader(pairs: bool = False, dtype: torch.dtype | None = None) -> MixingLoader:
    return MixingLoader(Batches(), make_mixer(), torch.device("cpu"), dtype, nullcontext, pairs)


def test_it_is_the_loader_but_for_its_batches() -> None:
    loader = make_loader()
    assert len(loader) == 3
    assert loader.sampler == "a sampler"
    with pytest.raises(AttributeError):
        _ = loader.no_such_thing


def test_batches_are_mixed() -> None:
    mixer = make_mixer()
    for (images, targets), (raw, labels) in zip(make_loader(), Batches(), strict=True):
        wanted = mixer.mix(raw, labels)
        assert torch.equal(images, wanted.images)
        assert torch.equal(targets, wanted.targets)


def test_clean_images_follow_their_mixes() -> None:
    mixer = make_mixer()
    for (images, target), (raw, labels) in zip(make_loader(pairs=True), Batches(), strict=True):
        wanted = mixer.mix(raw, labels)
        assert torch.equal(images, torch.cat([wanted.images, raw]))
        assert torch.equal(target, pack(wanted))


def test_the_scripts_dtype() -> None:
    assert next(iter(make_loader(dtype=torch.bfloat16)))[0].dtype == torch.bfloat16


def test_mixing_runs_inside_the_scripts_autocast_and_the_step_does_not() -> None:
    inside = []

    @contextmanager
    def autocast() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    loader = MixingLoader(Batches(), make_mixer(), torch.device("cpu"), None, autocast, False)
    loader.mixer.mix = lambda images, labels: (inside == [True] and make_mixer().mix(images, labels)) or pytest.fail()
    for _ in loader:
        assert inside == []


def test_sizes_of_a_loader() -> None:
    assert image_sizes({"input_size": (3, 32, 48)}) == [(32, 48)]
    assert image_sizes({"input_size": (3, 32, 32), "input_size_choices": [32, (48, 64)]}) == [(32, 32), (48, 64)]
    assert image_sizes({}) == []


def test_workers_mix_nothing_where_this_library_mixes() -> None:
    run = running(ask("--preference", "1", "--mixup", "1"), tiny())
    run.mixer = make_mixer()
    made = {"collate_fn": "timm's", "input_size": (3, 32, 32)}
    assert create_loader(run, dict, is_training=True, **made)["collate_fn"] is None
    assert create_loader(run, dict, is_training=False, **made)["collate_fn"] == "timm's"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--merge-r", "total:10"], r"^--merge-r: got a total of 10 merges"),
        (["--mergemix", "1", "--saliency-r", "total:10"], r"^--saliency-r: got a total of 10 merges"),
    ],
)
def test_a_size_that_leaves_too_few_tokens_is_refused(flags: list[str], message: str) -> None:
    model = tiny(dynamic_img_size=True)
    run = running(ask(*flags), model)
    run.mixer = build_mixer(run.request, model, None) if run.request.mix is not None else None
    if run.request.merge is not None:
        run.backbone = find_backbone(patch(model, run.request.merge.r))
    create_loader(run, dict, is_training=True, input_size=(3, 32, 32))
    with pytest.raises(MergeMixError, match=message):
        create_loader(run, dict, is_training=True, input_size=(3, 16, 16))


def test_sizes_are_no_concern_of_a_model_that_is_only_read() -> None:
    run = running(ask("--mergemix", "1"), patch(tiny(), 0))
    run.backbone = find_backbone(run.model)
    run.mixer = build_mixer(run.request, run.model, None)
    assert create_loader(run, dict, is_training=True, input_size=(3, 48, 48))["collate_fn"] is None


def test_images_that_the_model_does_not_take_get_the_flag_that_makes_it_for_them() -> None:
    run = running(ask("--merge-r", "2"), patch(tiny(), 2))
    run.backbone = find_backbone(run.model)
    message = "^--merge-r: images have 48 x 64 pixels and the model takes 32 x 32; --model-kwargs img_size=48,64 makes"
    with pytest.raises(MergeMixError, match=message):
        create_loader(run, dict, is_training=True, input_size=(3, 48, 64))
    with pytest.raises(MergeMixError, match="img_size=48 makes"):
        create_loader(run, dict, is_training=True, input_size=48)

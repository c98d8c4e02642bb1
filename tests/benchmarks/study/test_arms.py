"""Each method of the comparison mixes a batch with the given options."""

import pytest
import torch
from torch import Tensor

from benchmarks.study.arms import ARMS, build_mix, find_arm
from timm_mergemix import MergeMixError
from timm_mergemix.mixers import registry
from timm_mergemix.mixers.resizemix import ResizeMix

from ...models import images, tiny


def masks(batch: Tensor) -> Tensor:
    return torch.ones(len(batch), *batch.shape[-2:])


@pytest.mark.parametrize("name", ARMS)
def test_each_method_mixes(name: str) -> None:
    model = tiny()
    torch.manual_seed(0)
    mix = build_mix(ARMS[name], model, 10, {"label_smoothing": 0.1}, masks)
    assert (mix is None) == (name == "none")
    if mix is not None:
        mixed, targets = mix(images(model, batch=4).clone(), torch.arange(4))
        count = 8 if ARMS[name].mixer == "two-batches" else 4
        assert mixed.shape == (count, 3, 64, 64) and targets.shape == (count, 10)
        torch.testing.assert_close(targets.sum(1), torch.ones(count))


def test_given_options_override_those_of_the_method() -> None:
    mix = build_mix(ARMS["mergemix-copied"], tiny(), 10, {"layer": 0, "prob": 0.5})
    assert (mix.saliency.layer, mix.saliency.config.divide, mix.prob) == (0, False, 0.5)


def test_a_registered_mixer_is_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._MIXERS, "mine", ResizeMix)
    assert isinstance(build_mix(find_arm("mine"), tiny(), 10, {}), ResizeMix)


def test_unknown_methods_and_options_are_refused() -> None:
    with pytest.raises(MergeMixError, match="method: got 'mixdown'"):
        find_arm("mixdown")
    with pytest.raises(MergeMixError, match=r"method: oracle: .*: the task does not know where its objects are"):
        build_mix(ARMS["oracle"], tiny(), 10, {})
    with pytest.raises(MergeMixError, match="options: got prob, wanted none"):
        build_mix(ARMS["none"], tiny(), 10, {"prob": 0.5})
    with pytest.raises(MergeMixError, match="depth"):
        build_mix(ARMS["timm"], tiny(), 10, {"depth": 3})
    with pytest.raises(MergeMixError, match="depth"):
        build_mix(ARMS["mergemix"], tiny(), 10, {"depth": 3})


@pytest.mark.parametrize("options", [{"mixup_alpha": 0}, {"prob": "abc"}, {"colour": 1}])
def test_options_that_timms_mixup_does_not_take_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError):
        build_mix(find_arm("mixup"), tiny(), 2, options)

"""A valid call of each name that takes a model or draws a picture, with a check of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import timm_mergemix as mm

from ..models import tiny
from .case import Case, f, i, require

__all__ = ["MODELS", "VIZ", "VLM", "encoder"]


def encoder() -> nn.Module:
    """The smallest model that merges: 4 x 4 patches of 8 pixels."""
    return tiny(img_size=32, patch_size=8, embed_dim=12, num_heads=3, depth=2, num_classes=5)


def _patched(**given: Any) -> Tensor:
    model = mm.patch(given.pop("model"), **given)
    return model(f(2, 3, 32, 32))


def _merging(**given: Any) -> Tensor:
    with mm.merging(**given) as model:
        return model(f(2, 3, 32, 32))


def _recorded(**given: Any) -> Any:
    with mm.record(**given) as recording:
        given["model"](f(2, 3, 32, 32))
    return recording


def _is_logits(got: Any, **_: Any) -> None:
    require(got.shape == (2, 5) and bool(got.isfinite().all()), "other logits")


def _settings() -> dict[str, Any]:
    protected = {"blocks": None, "prefix_tokens": None, "suffix_tokens": None}
    return {"model": encoder(), "r": 2, "prop_attn": True, "matching": "bipartite", **protected}


def _registered(**given: Any) -> Any:
    made = mm.register_mixer(given.pop("name"))(given.pop("factory"))
    return made


MODELS = {
    "patch": Case(_patched, lambda: {**_settings(), "adapters": None}, _is_logits),
    "merging": Case(_merging, _settings, _is_logits),
    "record": Case(
        _recorded,
        lambda: {"model": encoder(), "attention": True, "blocks": None},
        lambda got, **_: require(len(got.layers) == 2, "other layers"),
    ),
    "unpatch": Case(
        mm.unpatch,
        lambda: {"model": mm.patch(encoder(), 2)},
        lambda got, model: require(got is model, "another model"),
    ),
    "merge_info": Case(
        mm.merge_info,
        lambda: {"model": mm.patch(encoder(), 2), "image_size": (32, 32)},
        lambda got, **_: require(got.tokens[0] > got.tokens[-1] > 0, "other tokens"),
    ),
    "supported": Case(
        mm.supported,
        lambda: {"model": encoder()},
        lambda got, model: require(bool(got.family) or bool(got.reason), "neither a family nor a reason"),
    ),
    "tune_r": Case(
        mm.tune_r,
        lambda: {
            "model": encoder(),
            "tokens": 12,
            "images": f(2, 3, 32, 32),
            "batch_size": 2,
            "rounds": 1,
            "seconds": 9.0,
        },
        lambda got, **_: require(len(got) >= 1, "nothing found"),
        ("speedup",),
    ),
    "register_mixer": Case(
        _registered,
        lambda: {"name": "mixup", "factory": mm.Mixup},
        lambda got, **_: require(got is mm.Mixup, "another factory"),
    ),
}


def _mixed(**options: Any) -> Any:
    torch.manual_seed(0)
    return mm.Mixup(1.0, 0.0, num_classes=5, mode="elem", **options).mix(torch.rand(4, 3, 16, 16), i(5, 4))


def _probs() -> Tensor:
    return f(4, 5).softmax(dim=1)


def _is_figure(got: Any, **_: Any) -> None:
    require(type(got).__mro__[-2].__name__ != "object" and hasattr(got, "savefig"), "no figure")


def _answer_row(**given: Any) -> Any:
    return mm.viz.answer_grid([mm.viz.AnswerRow(**given)])


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **given: function(**given)


VIZ = {
    "viz.mix_grid": Case(
        _named(mm.viz.mix_grid),
        lambda: {"batch": _mixed(), "class_names": list("abcde"), "mean": (0.5,) * 3, "std": (0.2,) * 3, "rows": 1},
        _is_figure,
    ),
    "viz.merge_grid": Case(
        _named(mm.viz.merge_grid),
        lambda: {
            **{"model": encoder(), "images": torch.rand(1, 3, 32, 32), "r": 2, "layers": [0]},
            **{"mean": (0.5,) * 3, "std": (0.2,) * 3, "rows": 1},
        },
        _is_figure,
    ),
    "viz.schedule_plot": Case(
        _named(mm.viz.schedule_plot), lambda: {"tokens": {"a": [17, 9]}, "seconds": {"a": 0.1}}, _is_figure
    ),
    "viz.learning_curves": Case(
        _named(mm.viz.learning_curves),
        lambda: {"histories": {"a": [{"epoch": 0, "train_loss": 1.0, "val_top1": 0.5}]}},
        _is_figure,
    ),
    "viz.reliability_diagram": Case(
        _named(mm.viz.reliability_diagram), lambda: {"runs": {"a": (_probs(), i(5, 4))}, "bins": 3}, _is_figure
    ),
    "viz.confidence_by_ratio": Case(
        _named(mm.viz.confidence_by_ratio), lambda: {"batch": _mixed(), "probs": _probs(), "bins": 3}, _is_figure
    ),
    "viz.answer_grid": Case(
        _named(mm.viz.answer_grid),
        lambda: {"rows": [mm.viz.AnswerRow("?", torch.rand(3, 4, 4), torch.rand(3, 4, 4), 0.5, {"a": (0.5, 0.1)})]},
        _is_figure,
    ),
    "viz.AnswerRow": Case(
        _answer_row,
        lambda: {
            **{"question": "?", "winner": torch.rand(3, 4, 4), "loser": torch.rand(3, 4, 4)},
            **{"ratio": 0.5, "answers": {"a": (0.5, 0.1)}},
        },
        _is_figure,
        ("rows",),
    ),
    "viz.answers_by_ratio": Case(
        _named(mm.viz.answers_by_ratio),
        lambda: {"runs": {"a": (torch.rand(4), torch.rand(4))}, "bins": 3},
        _is_figure,
    ),
}

V = mm.vlm


def _answers(seed: int = 0) -> Any:
    return V.AnswerLogp(-f(3, 4, seed=seed).abs(), torch.arange(4) < torch.tensor([[2], [3], [4]]))


def _sequence(**given: Any) -> Any:
    names = ("beta", "gamma", "weight", "variant", "detach_winner", "detach_loser")
    return V.SequencePreferenceLoss(**{name: given.pop(name) for name in names})(**given)


def _images(**given: Any) -> Any:
    examples = [V.Example(torch.rand(3, 32, 32), number, f"word {number}") for number in range(3)]
    mixer = V.ImageMixer(**given)
    return mixer.mix(mixer.pair(examples))


def _is_terms(got: Any, **_: Any) -> None:
    require(all(part.ndim == 0 for part in got[:5]), "no scalars")


def _collated(**given: Any) -> Any:
    collator = V.PairCollator(**given)
    name = given["image"]
    examples = [{name: torch.zeros(3, 4, 4).byte() + n, "answer": f"word {n}", "image_id": n} for n in range(2)]
    return collator(examples)


def _words(examples: Any) -> dict[str, Any]:
    return {name: torch.ones(len(examples), 3, dtype=torch.int64) for name in ("labels", "input_ids")}


VLM = {
    "vlm.PairCollator": Case(
        _collated,
        lambda: {"collate": _words, "mixer": V.ImageMixer(kind="cutmix", leave_out=()), "image": "image"},
        lambda got, **_: require(len(got["losers"]["ratio"]) == 2, "no losers"),
        ("labels",),
        ("collate",),
    ),
    "vlm.SequencePreferenceStep": Case(
        V.SequencePreferenceStep,
        lambda: {
            **{"model": encoder(), "mixer": V.ImageMixer(kind="cutmix"), "loss": V.SequencePreferenceLoss()},
            **{"saliency": None, "reference": None},
        },
        lambda got, **_: require(isinstance(got, V.SequencePreferenceStep), "no step"),
    ),
    "vlm.answer_logp": Case(
        V.answer_logp,
        lambda: {"outputs": f(2, 4, 6), "labels": i(6, 2, 4)},
        lambda got, labels, **_: require(got.logp.shape == (len(labels), labels.shape[1] - 1), "another shape"),
        ("logits", "tokens"),
    ),
    "vlm.SequencePreferenceLoss": Case(
        _sequence,
        lambda: {
            **{"beta": 1.0, "gamma": 1.0, "weight": 1.0, "variant": "simpo"},
            **{"detach_winner": False, "detach_loser": False},
            **{"answers": _answers(), "losers": _answers(1), "ratio": torch.tensor([0.2, 0.5, 1.0])},
            **{"rows": torch.arange(3), "reference": None, "counts": None},
        },
        _is_terms,
    ),
    "vlm.ImageMixer": Case(
        _images,
        lambda: {
            **{"encoder": encoder(), "kind": "mergemix", "alpha": 1.0, "scale": (0.1, 0.8), "still_right": None},
            **{"leave_out": None, "tokenizer": None, "store": 4, "saliency_r": 2, "saliency_scale": 1.0},
            **{"layer": None, "divide": True, "image_mean": (0.5,) * 3, "image_std": (0.2,) * 3},
            **{"encoder_mean": (0.5,) * 3, "encoder_std": (0.2,) * 3, "generator": None},
        },
        lambda got, **_: require(got.images.shape == (3, 3, 32, 32), "another shape"),
        ("about",),
    ),
}

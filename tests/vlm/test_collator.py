"""PairCollator makes losers from raw images of every type and size, before any processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from timm_mergemix import MergeMixError
from timm_mergemix.vlm import ImageMixer, PairCollator, SequencePreferenceLoss, SequencePreferenceStep

from ..mix.batches import noise
from ..models import tiny
from .made import KINDS, WORDS, Tokenizer, seeded

ANSWERS = ("red", "blue", "green", "Yes.")
TOKENS = {word: token for token, word in WORDS.items()}


class Collate:
    """A processor and collator that pads answers and records the examples of each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, examples):
        self.calls.append(examples)
        images = [each["image"][0] if isinstance(each["image"], list) else each["image"] for each in examples]
        arrays = [
            np.array(i.convert("RGB").resize((4, 4)) if isinstance(i, Image.Image) else i.tolist()) for i in images
        ]
        length = max(len(each["text"]) for each in examples) + 1
        labels = torch.full((len(examples), length), -100)
        for row, each in zip(labels, examples, strict=True):
            row[1 : len(each["text"]) + 1] = torch.tensor(each["text"])
        pixels = torch.from_numpy(np.stack(arrays)).float() / 255
        return {"input_ids": labels.clamp_min(0), "labels": labels, "pixel_values": pixels}


def picture(number, size=(12, 9), mode="RGB"):
    values = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def examples(*words, **more):
    rows = [{"image": picture(row, (12 + row, 9)), "text": [TOKENS[word]]} for row, word in enumerate(words)]
    return [each | {name: values[row] for name, values in more.items()} for row, each in enumerate(rows)]


def collator(kind="cutmix", collate=None, image="image", **options):
    mixer = ImageMixer(kind=kind, **({"generator": seeded(), "leave_out": ()} | options))
    return PairCollator(Collate() if collate is None else collate, mixer, image)


def test_a_batch_is_that_of_the_models_collator_with_losers_added():
    collate, rows = Collate(), examples(*ANSWERS[:3])
    batch = collator(collate=collate)(rows)
    wanted = Collate()(rows)
    assert list(batch) == ["input_ids", "labels", "pixel_values", "losers"]
    assert all(torch.equal(batch[name], wanted[name]) for name in wanted)
    losers = batch["losers"]
    assert set(losers) == {"inputs", "labels", "rows", "ratio"}
    assert losers["rows"].tolist() == [0, 1, 2] and losers["ratio"].shape == (3,)
    assert torch.equal(losers["labels"], wanted["labels"]) and set(losers["inputs"]) == {"input_ids", "pixel_values"}
    assert not torch.equal(losers["inputs"]["pixel_values"], wanted["pixel_values"])
    assert len(collate.calls) == 2


def test_losers_are_the_examples_with_mixed_images_of_the_same_size():
    collate, rows = Collate(), examples(*ANSWERS[:3], note=["a", "b", "c"])
    losers = collator(collate=collate)(rows)["losers"]
    for example, mixed, ratio in zip(rows, collate.calls[1], losers["ratio"], strict=True):
        assert mixed.keys() == example.keys() and (mixed["text"], mixed["note"]) == (example["text"], example["note"])
        assert mixed["image"].size == example["image"].size and mixed["image"].mode == "RGB"
        same = (np.asarray(mixed["image"]) == np.asarray(example["image"])).all(axis=2).mean()
        assert ratio.item() == pytest.approx(same, abs=0.02)


def test_examples_are_not_changed():
    rows = examples(*ANSWERS[:3])
    before = [(dict(each), each["image"].tobytes()) for each in rows]
    collator(collate=lambda given: [each.pop("text") for each in given] and Collate()(rows))(rows)
    assert before == [(each, each["image"].tobytes()) for each in rows]


def test_a_list_of_one_image_stays_a_list():
    collate, rows = Collate(), examples("red", "blue")
    for each in rows:
        each["image"] = [each["image"]]
    collator(collate=collate)(rows)
    assert all(isinstance(each["image"], list) and len(each["image"]) == 1 for each in collate.calls[1])


def test_rows_without_exactly_one_image_or_an_answer_or_answered_by_yes_have_no_loser():
    rows = examples("red", "blue", "green", "Yes.", "red", "certainly")
    rows[1]["image"] = [picture(1), picture(2)]
    rows[2]["image"] = None
    rows[4]["text"] = []
    pairs = collator(collate=Texts(), leave_out=None, tokenizer=Tokenizer())
    losers = pairs(rows)["losers"]
    assert losers["rows"].tolist() == [0, 5]
    reasons = {"not just one image": 2, "answered by a word that is left out": 1, "no answer": 1}
    assert pairs.mixer.left_out == reasons


class Texts(Collate):
    """A collator that ignores the images of examples."""

    def __call__(self, examples):
        return super().__call__([each | {"image": picture(0)} for each in examples])


@pytest.mark.parametrize("absent", ["missing", "none"])
@pytest.mark.parametrize("form", ["pil", "uint8"])
def test_an_example_without_an_image_may_be_at_any_position(absent, form):
    for place in range(3):
        rows = examples("red", "blue", "green")
        for each in rows:
            each["image"] = picture(each["text"][0]) if form == "pil" else noise(3, 4, 4, seed=each["text"][0]).byte()
        if absent == "none":
            rows[place]["image"] = None
        else:
            del rows[place]["image"]
        losers = collator(collate=Texts())(rows)["losers"]
        assert losers["rows"].tolist() == [row for row in range(3) if row != place]


def test_the_same_picture_by_pixels_or_by_id_is_not_a_partner():
    rows = examples("red", "blue")
    rows[1]["image"] = rows[0]["image"].copy()
    assert len(collator()(rows)["losers"]["rows"]) == 0
    assert len(collator()(examples("red", "blue", image_id=["a", "a"]))["losers"]["rows"]) == 0
    assert len(collator()(examples("red", "blue", image_id=["a", "b"]))["losers"]["rows"]) == 2


@pytest.mark.parametrize("number", [torch.tensor, np.int64], ids=["tensor", "numpy"])
def test_ids_given_as_tensors_or_numpy_numbers_are_compared_by_value(number):
    pairs = collator()
    for _ in range(3):
        pairs(examples("red", "blue", image_id=[number(0), number(1)]))
    assert len(pairs.mixer.recent) == 2


def test_columns_take_precedence_over_values_read_from_the_batch():
    pairs = collator(leave_out=None)
    losers = pairs(examples("Yes.", "Yes.", "red", answer=["left", "right", "no"]))["losers"]
    assert losers["rows"].tolist() == [0, 1]
    pairs = collator(still_right=lambda own, other: own + other != 1)
    assert pairs(examples("red", "red", "red", about=[0, 1, 2]))["losers"]["rows"].tolist() == [0, 1]


def test_a_batch_without_pairs_brings_no_losers_and_is_collated_once():
    collate = Collate()
    batch = collator(collate=collate)(examples("red", "red"))
    assert len(collate.calls) == 1
    losers = batch["losers"]
    assert losers["inputs"] == {} and losers["rows"].dtype == losers["labels"].dtype == torch.int64
    assert len(losers["rows"]) == len(losers["ratio"]) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["uint8", "pil"])
def test_every_kind_mixes_raw_images(kind, form):
    encoder = {"encoder": tiny()} if kind in ("mergemix", "random") else {}
    rows = examples(*ANSWERS)
    if form == "uint8":
        for number, each in enumerate(rows):
            each["image"] = noise(3, 4, 4, seed=number, dtype=torch.uint8)
    batch = collator(kind, **encoder)(rows)
    assert batch["losers"]["rows"].tolist() == [0, 1, 2, 3]
    assert ((batch["losers"]["ratio"] >= 0) & (batch["losers"]["ratio"] < 1)).all()


@pytest.mark.parametrize("kind", ["mergemix", "random"])
def test_kinds_with_an_encoder_are_refused_in_a_worker(kind, monkeypatch):
    pairs = collator(kind, encoder=tiny())
    monkeypatch.setattr("timm_mergemix.vlm.collator.get_worker_info", lambda: object())
    with pytest.raises(
        MergeMixError, match=f"^mixer: got a mixer of kind '{kind}' in a worker process, wanted num_workers"
    ):
        pairs(examples("red", "blue"))


@pytest.mark.parametrize("own", [False, True], ids=["global", "own"])
@pytest.mark.parametrize("workers", [0, 1])
def test_each_epoch_of_a_loader_has_different_mixes(own, workers):
    pairs = collator(generator=seeded() if own else None, store=0)
    loader = DataLoader(examples(*ANSWERS), batch_size=4, collate_fn=pairs, num_workers=workers)
    ratios = [batch["losers"]["ratio"] for _ in range(3) for batch in loader]
    assert not torch.equal(ratios[0], ratios[1]) and not torch.equal(ratios[1], ratios[2])


@pytest.mark.parametrize("own", [False, True], ids=["global", "own"])
def test_two_workers_of_a_loader_do_not_make_the_same_mixes(own):
    pairs = collator(generator=seeded() if own else None, store=0)
    loader = DataLoader(examples(*ANSWERS) * 2, batch_size=4, collate_fn=pairs, num_workers=2)
    first, second = (batch["losers"]["ratio"] for batch in loader)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("own", [False, True], ids=["global", "own"])
def test_the_same_seed_gives_the_same_mixes_in_workers(own):
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        pairs = collator(generator=seeded(3) if own else None, store=0)
        loader = DataLoader(examples(*ANSWERS, *ANSWERS), batch_size=4, collate_fn=pairs, num_workers=2)
        found.append([batch["losers"]["ratio"] for batch in loader])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"collate": 3}, "^collate: got 3, wanted a function that takes a list of examples"),
        ({"mixer": None}, "^mixer: got None, wanted a timm_mergemix.vlm.ImageMixer"),
        ({"image": 0}, "^image: got 0, wanted the key of the image in an example"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    good = {"collate": Collate(), "mixer": ImageMixer(kind="cutmix")}
    with pytest.raises(MergeMixError, match=message):
        PairCollator(**(good | arguments))


def test_examples_that_do_not_fit_are_refused_by_name():
    rows = examples("red", "blue")
    with pytest.raises(MergeMixError, match=r"^labels: got None"):
        collator(collate=lambda given: {"input_ids": torch.ones(2, 3)})(rows)
    with pytest.raises(MergeMixError, match=r"^labels: got .*, wanted one row for each of the 2 examples"):
        collator(collate=lambda given: {"labels": torch.ones(3, 3).long()})(rows)
    wanted = "'picture' among the keys; transformers' Trainer drops it unless remove_unused_columns=False"
    with pytest.raises(MergeMixError, match=f"^examples: got an example with keys image, text, wanted {wanted}"):
        collator(image="picture")(rows)
    with pytest.raises(MergeMixError, match=r"^tokenizer: got None, wanted the tokenizer .*, or leave_out=\(\)"):
        collator(leave_out=None)(rows)


def test_examples_that_do_not_fit_change_neither_store_nor_counts():
    for options in ({"leave_out": None}, {"image": "picture"}):
        pairs = collator(**options)
        before = pairs.mixer.generator.get_state()
        with pytest.raises(MergeMixError):
            pairs(examples("red", "blue"))
        assert not pairs.mixer.recent and pairs.mixer.seen == 0
        assert torch.equal(pairs.mixer.generator.get_state(), before)


class Answers(torch.nn.Module):
    """A model of plain images without an image token: it adds a projection of the pixels to that of the ids."""

    def __init__(self):
        super().__init__()
        self.head, self.pixels = torch.nn.Embedding(30, 30), torch.nn.Linear(3 * 16, 30)

    def forward(self, input_ids, pixel_values):
        return self.head(input_ids) + self.pixels(pixel_values.permute(0, 3, 1, 2).flatten(1)).unsqueeze(1)


def test_a_step_uses_the_losers_of_a_collator():
    torch.manual_seed(0)
    model = Answers()
    batch = collator()(examples(*ANSWERS))
    output = SequencePreferenceStep(model, None, SequencePreferenceLoss(gamma=0.5))(batch)
    lost = batch["losers"]
    first, second = (model(each["input_ids"], each["pixel_values"]) for each in (batch, lost["inputs"]))
    logps = [each[:, 0].log_softmax(-1).gather(1, batch["labels"][:, 1:]).squeeze(1) for each in (first, second)]
    wanted = torch.nn.functional.softplus(0.5 * (1 - lost["ratio"]) - (logps[0] - logps[1])).mean()
    torch.testing.assert_close(output.terms.preference, wanted)


def test_an_unhashable_image_id_is_refused():
    rows = [{**row, "image_id": ["a"]} for row in examples("red", "blue")]
    with pytest.raises(MergeMixError, match=r"^image_id: got \['a'\], wanted numbers or strings"):
        collator()(rows)

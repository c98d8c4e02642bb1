"""The preference in transformers' training loop: means over accumulated batches, logs, resume, evaluation."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from timm_mergemix import MergeMixError, vlm

from .trainers import FixedMixer, Questions, collate, llava, make_trainer, transformers, weights_of

WAYS = [(8, 1), (4, 2), (2, 4), (1, 8)]


def gradient_of(questions, mixer, preference=None):
    """The gradient of the small LLaVA on one batch of questions, computed with `SequencePreferenceStep`."""
    model = llava().train()
    step = vlm.SequencePreferenceStep(model, mixer(model), preference)
    step(collate([questions[number] for number in range(len(questions))])).terms.total.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def step_taken(trainer):
    """The change of the weights that have a gradient after one step of gradient descent with learning rate 1."""
    before = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}
    trainer.train()
    after = dict(trainer.model.named_parameters())
    return torch.cat([(before[name] - after[name]).detach().flatten() for name in before if name in USED])


USED = {name for name, _ in llava().named_parameters() if "post_layernorm" not in name and "layers.3" not in name}


@pytest.mark.parametrize(("batch", "accumulated"), WAYS)
@pytest.mark.parametrize("accepts", [True, False], ids=["scaled by the model", "scaled by the trainer"])
def test_accumulated_batches_give_the_step_of_one_batch(tmp_path, batch, accumulated, accepts):
    trainer = make_trainer(
        tmp_path, mixer=FixedMixer(), max_steps=1, learning_rate=1.0, per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulated,
    )  # fmt: skip
    questions = Questions()
    if not accepts:  # the trainer's own loss is then a mean of means, which is only right for batches of equal lengths
        trainer.model_accepts_loss_kwargs = False
        trainer.mergemix.loss.weight = 1e3
    wanted = gradient_of(
        questions, lambda model: FixedMixer(), vlm.SequencePreferenceLoss(weight=trainer.mergemix.loss.weight)
    )
    got = step_taken(trainer)
    torch.testing.assert_close(got, wanted, rtol=2e-3, atol=2e-3 * wanted.abs().max().item())


def test_a_mean_of_means_gives_a_different_gradient(tmp_path):
    questions = Questions()
    whole = gradient_of(questions, lambda model: FixedMixer())
    halves = [torch.utils.data.Subset(questions, range(low, low + 4)) for low in (0, 4)]
    of_means = sum(gradient_of(half, lambda model: FixedMixer()) for half in halves) / 2
    assert (whole - of_means).abs().max() > 0.05 * whole.abs().max()


@pytest.mark.parametrize("saliency", ["winner", "separate"])
def test_with_saliency_winner_the_trainer_passes_the_winners_attention_to_the_mixer(tmp_path, saliency):
    seen = []

    class Watching(vlm.ImageMixer):
        def mix(self, pairing, saliency=None):
            seen.append(saliency)
            return super().mix(pairing, saliency)

    model = llava()
    make_trainer(tmp_path, model, Watching(model, leave_out=()), saliency=saliency, max_steps=1).train()
    (given,) = seen
    assert (given is not None) == (saliency == "winner")
    if given is not None:
        torch.testing.assert_close(given.sum(dim=(1, 2)), torch.ones(len(given)))


def test_every_term_is_logged_as_a_mean_since_the_last_log(tmp_path):
    trainer = make_trainer(
        tmp_path, mixer=FixedMixer(), max_steps=1, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    model = llava().train()
    step = vlm.SequencePreferenceStep(model, FixedMixer())
    terms = step(collate([Questions()[number] for number in range(8)])).terms
    trainer.train()
    logs = trainer.state.log_history[0]
    assert logs["loss"] == pytest.approx(terms.total.item(), rel=1e-4)
    assert logs["answer_loss"] == pytest.approx(terms.answer.item(), rel=1e-4)
    assert logs["preference_loss"] == pytest.approx(terms.preference.item(), rel=1e-4)
    assert logs["reward_margin"] == pytest.approx(terms.reward_margin.item(), rel=1e-3)
    assert logs["preference_accuracy"] == pytest.approx(terms.preference_accuracy.item())
    ratios = [0.1 + 0.1 * (number % 7) for number in range(8) if number % 7 > 1]
    assert logs["mix_ratio"] == pytest.approx(sum(ratios) / len(ratios), rel=1e-5)
    assert logs["left_out"] == pytest.approx(3 / 8)


def test_terms_without_pairs_are_not_logged(tmp_path):
    data = torch.utils.data.Subset(Questions(), [0, 1])
    trainer = make_trainer(tmp_path, mixer=FixedMixer(), max_steps=1, train_dataset=data)
    trainer.train()
    logs = trainer.state.log_history[0]
    assert logs["left_out"] == 1 and math.isfinite(logs["loss"])
    assert not {"preference_loss", "reward_margin", "preference_accuracy", "mix_ratio"} & logs.keys()


def test_weight_0_trains_like_the_plain_trainer(tmp_path):
    plain = transformers.Trainer(
        llava(),
        make_trainer(tmp_path).args,
        train_dataset=Questions(),
        data_collator=lambda rows: without(collate(rows)),
    )
    plain.train()
    trainer = make_trainer(tmp_path, preference=vlm.SequencePreferenceLoss(weight=0.0))
    trainer.train()
    assert torch.equal(weights_of(trainer.model), weights_of(plain.model))
    assert "preference_loss" not in trainer.state.log_history[0]


def without(batch):
    return {name: value for name, value in batch.items() if name != "answer"}


def test_evaluation_is_the_trainers_own(tmp_path):
    trainer = make_trainer(tmp_path)
    plain = transformers.Trainer(
        llava(), trainer.args, eval_dataset=Questions(4), data_collator=lambda rows: without(collate(rows))
    )
    found = trainer.evaluate()
    assert found["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"])
    assert trainer.mergemix.mixer.seen == 0


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, batch, stop):
    options = {"max_steps": 6, "per_device_train_batch_size": batch, "gradient_accumulation_steps": 2}
    whole = make_trainer(tmp_path / "whole", **options)
    whole.train()
    saving = {**options, "save_strategy": "steps", "save_steps": stop}
    first = make_trainer(tmp_path / "first", **saving)
    first.train()
    second = make_trainer(tmp_path / "second", **options)
    second.train(resume_from_checkpoint=str(tmp_path / "first" / f"checkpoint-{stop}"))
    assert torch.equal(weights_of(second.model), weights_of(whole.model))
    assert second.mergemix.mixer.seen == whole.mergemix.mixer.seen == 12 * batch


def test_a_damaged_state_of_the_mixer_is_refused(tmp_path):
    options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    make_trainer(tmp_path, **options).train()
    path = tmp_path / "checkpoint-1" / "mergemix_0.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MergeMixError, match=r"mergemix_0\.pt: is damaged"):
        make_trainer(tmp_path / "second", **options).train(resume_from_checkpoint=str(path.parent))


def test_each_process_and_each_step_has_a_different_seed(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path)
    drawn = set()
    for process, step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        monkeypatch.setattr(type(trainer.args), "process_index", process)
        trainer.state.global_step = step
        trainer._seed()
        drawn.add(torch.randint(2**60, (), generator=trainer.mergemix.mixer.generator).item())
    assert len(drawn) == 4


def test_the_users_generator_is_not_replaced(tmp_path):
    model, generator = llava(), torch.Generator().manual_seed(5)
    trainer = make_trainer(tmp_path, model, vlm.ImageMixer(model, leave_out=(), generator=generator))
    trainer._seed()
    assert trainer.mergemix.mixer.generator is generator
    assert generator.initial_seed() == 5


def test_columns_for_the_mixer_are_kept_by_remove_unused_columns(tmp_path):
    trainer = make_trainer(tmp_path, remove_unused_columns=True, max_steps=1)
    trainer._set_signature_columns_if_needed()
    assert {"image_id", "answer", "about"} <= set(trainer._signature_columns)


def test_the_mixer_gets_the_tokenizer_of_the_trainer(tmp_path):
    class Processor:
        tokenizer = object()

    class WithProcessor(vlm.MergeMixMixin, FakeTrainer):
        pass

    model, mixer = llava(), vlm.ImageMixer(kind="cutmix")
    WithProcessor(model, Processor(), mixer=mixer)
    assert mixer.tokenizer is Processor.tokenizer


class FakeTrainer:
    """The attributes of a trainer that the mixin reads in its constructor."""

    args = SimpleNamespace(n_gpu=1)

    def __init__(self, model, processing_class=None):
        self.model, self.processing_class = model, processing_class


def test_several_devices_in_one_process_are_refused():
    class Several(vlm.MergeMixMixin, FakeTrainer):
        args = SimpleNamespace(n_gpu=2)

    with pytest.raises(
        MergeMixError, match=r"^args: got 2 devices in one process, wanted torchrun with one process per device"
    ):
        Several(llava(), mixer=vlm.ImageMixer(kind="cutmix"))

"""The PyTorch Lightning recipe of docs/guide/lightning.md."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
from torch import distributed
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import timm_mergemix as mm
from tools.apart import apart

from .page import NUM_CLASSES, Coloured, R, Samples, check_passes, mix_every_batch, recipe, tiny, watch, weights_differ

L = pytest.importorskip("lightning")


class Spy(L.Callback):
    """Keeps what was mixed, and how."""

    def __init__(self):
        self.mixes = []
        self.losses = []

    def on_fit_start(self, trainer, module):
        draw = module.mix.mix

        def mix(*args):
            batch = draw(*args)
            self.mixes.append((trainer.current_epoch, batch.kind, batch.ratio.tolist(), batch.labels.tolist()))
            return batch

        module.mix.mix = mix

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


class MeanGradient(L.Callback):
    """Writes, for each process, the gradient under DDP and the mean of what the processes compute alone."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        state, log, module.log_dict = module.generator.get_state(), module.log_dict, lambda *args: None
        gradients = torch.autograd.grad(module.training_step(batch, batch_idx), list(module.parameters()))
        self.alone = torch.cat([gradient.flatten() for gradient in gradients])
        self.mean = self.alone.clone()
        distributed.all_reduce(self.mean)
        self.mean /= trainer.world_size
        module.log_dict = log
        module.generator.set_state(state)

    def on_after_backward(self, trainer, module):
        gradient = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
        torch.save((gradient, self.mean, self.alone), self.folder / f"{trainer.global_rank}.pt")

    def on_train_end(self, trainer, module):
        torch.save(trainer.spy.mixes, self.folder / f"mixes{trainer.global_rank}.pt")


@pytest.fixture
def page(tmp_path):
    return recipe("lightning", tmp_path)


def fit(module, folder, *callbacks, resume=None, epochs=2, data=None, **options):
    """Trains for a few epochs of two batches a process, in an order that depends on the epoch alone."""
    spy = Spy()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"accelerator": "cpu", "devices": 1, "enable_checkpointing": False, **quiet, **options}
    trainer = L.Trainer(default_root_dir=folder, max_epochs=epochs, callbacks=[spy, *callbacks], **options)
    trainer.spy = spy
    data = data or Samples()
    sampler = DistributedSampler(data, num_replicas=1, rank=0) if options["devices"] == 1 else None
    train = DataLoader(data, 8 // options["devices"], sampler=sampler)
    trainer.fit(module, train, DataLoader(type(data)(), 8), ckpt_path=resume)
    return trainer


def build(page, model=None, name="MergeMixClassifier", **options):
    return getattr(page, name)(model or tiny(), NUM_CLASSES, r=R, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MergeMixClassifier", {}),
        ("PreferenceClassifier", {}),
        ("PreferenceClassifier", {"saliency": "separate"}),
        ("PreferenceClassifier", {"weight": 0.0}),
    ],
)
def test_the_recipe_trains(page, tmp_path, name, options):
    module = build(page, name=name, **options)
    trainer = fit(module, tmp_path)
    assert len(trainer.spy.mixes) == 4
    assert torch.tensor(trainer.spy.losses).isfinite().all()
    assert 0 <= trainer.callback_metrics["val_accuracy"] <= 1
    assert "head.weight" in weights_differ(module.model, tiny())
    if name == "PreferenceClassifier":
        assert {"train_total", "train_preference", "train_reward_margin"} <= trainer.callback_metrics.keys()


@pytest.mark.parametrize("name", ["MergeMixClassifier", "PreferenceClassifier"])
def test_it_learns_with_the_merging_that_is_its_default(page, tmp_path, name):
    module = getattr(page, name)(tiny(), NUM_CLASSES, lr=2e-3)
    fit(module, tmp_path, epochs=4, data=Coloured())
    module.eval()
    held_out = Coloured(100, seed=3)
    with torch.inference_mode():
        correct = module.model(held_out.images).argmax(dim=1) == held_out.labels
    assert correct.float().mean() > 0.8  # chance is 0.2
    assert mm.merge_info(module.model).tokens[-1] == 9, "half of 16 patches and the class token"


def test_the_recipe_trains_in_bfloat16(page, tmp_path):
    assert torch.tensor(fit(build(page), tmp_path, precision="bf16-mixed").spy.losses).isfinite().all()


@pytest.mark.parametrize(("val_r", "merges"), [(0, (0, 0, 0)), (None, (R, R, R))])
def test_only_training_mixes_and_validation_merges_as_asked(page, tmp_path, val_r, merges):
    module = build(page, val_r=val_r)
    passes = watch(module.model)
    fit(module, tmp_path, epochs=3)
    check_passes(passes, (R, R, R), merges)


def test_a_checkpoint_has_the_keys_of_the_unpatched_model(page, tmp_path):
    module = build(page)
    fit(module, tmp_path, epochs=1).save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    plain = tiny(seed=1)
    plain.load_state_dict({key.removeprefix("model."): value for key, value in saved.items()})
    assert saved.keys() == {f"model.{key}" for key in plain.state_dict()}
    assert weights_differ(module.model, plain) == []


@pytest.mark.parametrize("before_validation", [True, False])
@pytest.mark.parametrize("name", ["MergeMixClassifier", "PreferenceClassifier"])
def test_a_resumed_run_is_the_uninterrupted_one(page, tmp_path, name, before_validation):
    from lightning.pytorch.callbacks import ModelCheckpoint

    keep = ModelCheckpoint(
        tmp_path / "kept", "{epoch}", save_top_k=-1, every_n_epochs=1, save_on_train_epoch_end=before_validation
    )
    whole, resumed = build(page, name=name), build(page, tiny(seed=1), name=name)
    wanted = fit(whole, tmp_path, keep, epochs=3, enable_checkpointing=True).spy.mixes
    assert len({str(ratio) for _, _, ratio, _ in wanted}) > 3
    torch.manual_seed(7)
    got = fit(resumed, tmp_path, epochs=3, resume=tmp_path / "kept" / "epoch=0.ckpt").spy.mixes
    assert got == wanted[2:]
    assert weights_differ(whole, resumed) == []


def fit_in_forks(folder, saliency):
    """Trains with two processes, which are forked from this one."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        mix_every_batch(monkeypatch)
        module = build(recipe("lightning", folder), name="PreferenceClassifier", saliency=saliency)
        fit(module, folder, MeanGradient(folder), epochs=1, devices=2, strategy="ddp_fork")


@pytest.mark.skipif(not distributed.is_available() or not distributed.is_gloo_available(), reason="needs gloo")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="other processes start slowly")
@pytest.mark.parametrize("saliency", ["separate", "winner"])
def test_ddp_averages_gradients_of_different_mixes(tmp_path, saliency):
    # torch refuses gradients in a fork of a process that has used its autograd threads, as other tests here may have.
    apart(300, fit_in_forks, tmp_path, saliency)
    (gradient, mean, alone), (other, _, other_alone) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)
    assert torch.equal(gradient, other)
    assert not torch.allclose(alone, other_alone)
    ours, theirs = (torch.load(tmp_path / f"mixes{rank}.pt") for rank in (0, 1))
    assert [mix[1:3] for mix in ours] != [mix[1:3] for mix in theirs]

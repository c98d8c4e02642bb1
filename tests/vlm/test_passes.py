"""The passes of preference training: the winner's call, the losers' pass, and processes without pairs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from timm_mergemix.vlm import answer_logp
from timm_mergemix.vlm.batches import Losers, PairedBatch
from timm_mergemix.vlm.passes import WatchedCall, image_token_of, needs_pass, no_losers, run_losers

from ..merge.reference import randn

IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])
LABELS = torch.tensor([[-100, 2, 3], [-100, -100, 6]])


class Model(nn.Module):
    """A causal language model that records the arguments of its calls."""

    def __init__(self, fused=False):
        super().__init__()
        self.head = nn.Embedding(7, 7)
        self.fused = fused
        self.calls = []

    def forward(self, input_ids, **kwargs):
        self.calls.append(kwargs)
        logits = self.head(input_ids)
        if not self.fused:
            return SimpleNamespace(logits=logits)
        answers = answer_logp(logits, kwargs["labels"])
        return SimpleNamespace(logits=None, log_probs=answers.logp, label_mask=answers.mask)


def losers(rows=(1, 0)):
    rows = torch.tensor(rows)
    return Losers({"input_ids": IDS[rows]}, LABELS[rows], rows, torch.full((len(rows),), 0.5))


@pytest.fixture
def alone(tmp_path):
    """A process group that consists of this process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_only_the_first_call_is_recorded_and_the_hook_is_removed():
    model = Model()
    hooks = len(model._forward_hooks)
    with WatchedCall(model) as call:
        assert call.output is None
        first = model(input_ids=IDS, use_cache=False)
        model(input_ids=IDS, use_cache=True)
    assert call.output is first and call.kwargs == {"input_ids": IDS, "use_cache": False}
    assert len(model._forward_hooks) == hooks


def test_a_call_that_fails_leaves_no_hook():
    model = Model()
    with pytest.raises(IndexError), WatchedCall(model):
        model(input_ids=IDS + 99)
    assert not model._forward_hooks


def test_without_a_winners_call_losers_run_with_only_their_inputs():
    model = Model()
    got = run_losers(model, losers())
    wanted = answer_logp(model.head(IDS[[1, 0]]), LABELS[[1, 0]])
    assert torch.equal(got.logp, wanted.logp) and torch.equal(got.mask, wanted.mask)
    assert model.calls == [{}]


def test_losers_reuse_the_winners_other_arguments_except_those_of_its_loss():
    model = Model()
    with WatchedCall(model) as call:
        model(input_ids=IDS, labels=LABELS, num_items_in_batch=3, use_cache=False, temperature=1.0)
    run_losers(model, losers(), call)
    assert model.calls[1] == {"use_cache": False, "temperature": 1.0}
    assert set(call.kwargs) == {"input_ids", "labels", "num_items_in_batch", "use_cache", "temperature"}


def test_a_fused_head_gets_the_labels_of_the_losers():
    model = Model(fused=True)
    with WatchedCall(model) as call:
        model(input_ids=IDS, labels=LABELS)
    got = run_losers(model, losers(), call)
    assert torch.equal(model.calls[1]["labels"], LABELS[[1, 0]])
    torch.testing.assert_close(got.logp, answer_logp(model.head(IDS[[1, 0]]), LABELS[[1, 0]]).logp)


def test_with_distributed_data_parallel_the_module_inside_runs(alone):
    model = Model()
    wrapped = DistributedDataParallel(model)
    calls = []
    wrapped.register_forward_pre_hook(lambda *args: calls.append(args))
    run_losers(wrapped, losers()).total.backward()
    assert not calls and len(model.calls) == 1
    assert model.head.weight.grad.any()


@pytest.mark.parametrize(
    ("configs", "token"),
    [([None, 5], 5), ([7, 5], 7), ([None, None], None), ([], None)],
    ids=["inner", "outer", "no", "none"],
)
def test_the_image_token_is_found_in_the_config_of_a_model_or_of_a_submodule(configs, token):
    model = nn.Identity()
    for value in reversed(configs):
        model = nn.Sequential(model)
        model.config = SimpleNamespace(image_token_id=value)
    assert image_token_of(nn.Sequential(model)) == token


def test_a_single_process_needs_no_dummy_pass(alone):
    assert not needs_pass(Model())


def test_several_processes_need_a_dummy_pass_except_with_distributed_data_parallel(alone, monkeypatch):
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    assert needs_pass(Model())
    monkeypatch.undo()
    wrapped = DistributedDataParallel(Model())
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    assert not needs_pass(wrapped)


def test_no_losers_returns_the_clean_images_with_ratio_1():
    batch = PairedBatch({"input_ids": IDS, "labels": LABELS, "pixel_values": randn(2, 3, 4, 4)})
    found = no_losers(batch)
    assert list(found.inputs) == ["input_ids", "pixel_values"] and "labels" in batch.inputs
    assert found.labels is LABELS
    assert found.rows.tolist() == [0, 1] and found.ratio.tolist() == [1, 1]

"""Several processes, and several threads."""

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DataParallel, DistributedDataParallel

import timm_mergemix as mm

from ..families.cases import build
from .common import NAMES, batch, each_model, gradients, loss_of

SCHEDULE = [3, 2, 1]
ORDERS = ("patch before wrapping", "patch the wrapper", "checkpointing")


def one_step(name, order, x):
    model = build(name).train()
    if order == "patch the wrapper":
        wrapper = mm.patch(DistributedDataParallel(model), SCHEDULE)
    else:
        wrapper = DistributedDataParallel(mm.patch(model, SCHEDULE))
        model.set_grad_checkpointing(order == "checkpointing")
    loss_of(wrapper(x)).backward()  # a parameter without a gradient would make the next forward pass fail
    model.zero_grad()
    loss_of(wrapper(x)).backward()
    return {key: parameter.grad for key, parameter in model.named_parameters()}


def worker(rank, folder, samples):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", world_size=2, rank=rank)
    try:
        for name, x in samples.items():
            for order in ORDERS:
                torch.save(one_step(name, order, x.chunk(2)[rank]), f"{folder}/{rank} {name} {order}")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs gloo")
def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    samples = {name: batch(build(name), 4) for name in (NAMES[0], NAMES[-1])}
    torch.multiprocessing.spawn(worker, (tmp_path, samples), nprocs=2)
    for name, x in samples.items():
        model = mm.patch(build(name), SCHEDULE).train()
        wanted = dict(zip(dict(model.named_parameters()), gradients(model, x), strict=True))
        half = gradients(model, x[:2])
        assert not all(torch.allclose(a, b, rtol=1e-2) for a, b in zip(half, wanted.values(), strict=True))
        for order in ORDERS:
            one, other = (torch.load(tmp_path / f"{rank} {name} {order}") for rank in (0, 1))
            torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-6)
            assert all(torch.equal(one[key], other[key]) for key in wanted)


def replicas_of(network, count=2):
    """What torch.nn.parallel.replicate does, without its copies of the parameters to other devices."""
    modules = list(network.modules())
    indices = {module: index for index, module in enumerate(modules)}
    copies = [[module._replicate_for_data_parallel() for module in modules] for _ in range(count)]
    for copy in copies:
        for replica, module in zip(copy, modules, strict=True):
            replica._former_parameters = OrderedDict()
            for key, child in module._modules.items():
                if child is None:
                    replica._modules[key] = None
                else:
                    setattr(replica, key, copy[indices[child]])
            for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
                setattr(replica, key, tensor) if key in module._buffers else replica.__dict__.update({key: tensor})
    return [copy[0] for copy in copies]


@each_model
def test_replicas_in_threads_share_nothing(name):
    model = mm.patch(build(name), SCHEDULE)
    inputs = [batch(model, 2, seed=1), batch(model, 3, seed=2)]
    with torch.no_grad():
        wanted = [model(x) for x in inputs]
    # Both threads meet inside and after every block, so neither runs through two of them alone.
    meeting = threading.Barrier(2, timeout=10)

    def meet(*_):
        meeting.wait()

    for block in model.blocks:
        block.register_forward_hook(meet)
        block.attn.register_forward_pre_hook(meet)
        block.attn.register_forward_hook(meet)
        block.attn.k_norm.register_forward_hook(meet)
    replicas = replicas_of(model)
    assert len({id(m) for m in replicas[0].modules()} & {id(m) for m in replicas[1].modules()}) == 0
    for replica in replicas:
        assert all(block.merging is replica.merging for block in replica.blocks)

    def run(replica, x):
        with torch.no_grad():
            return replica(x)

    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(run, replicas, inputs))
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@each_model
def test_data_parallel_gives_what_the_model_gives(name):
    model = mm.patch(build(name), SCHEDULE).cuda()
    x = batch(model, 4).cuda()
    torch.testing.assert_close(DataParallel(model)(x), model(x), rtol=1e-4, atol=1e-5)

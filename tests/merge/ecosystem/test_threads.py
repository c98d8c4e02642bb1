"""Passes that run at once, inside each other or in another order do not meet: each is right or refused."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ...models import images, tiny, tiny_torchvision
from ..families.cases import BUILDERS

FAMILIES = ["vit", "parallel things", "parallel scaling", "eva", "rope", "beit", "beit, no bias", "relpos", "cait"]


def family(name):
    return tiny_torchvision if name == "torchvision" else BUILDERS[name]


each_family = pytest.mark.parametrize("name", [*FAMILIES, "torchvision"])


def blocks_of(model):
    return model.blocks if hasattr(model, "blocks") else model.encoder.layers


def meeting_at_every_module(model, parties):
    """Passes in that many threads wait for each other before and after each module inside the blocks."""
    barrier = threading.Barrier(parties, timeout=20)

    def meet(*_):
        barrier.wait()

    for block in blocks_of(model):
        for module in block.modules():
            module.register_forward_pre_hook(meet)
            module.register_forward_hook(meet)


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@each_family
def test_two_threads_run_one_model_on_different_images(name):
    model = mm.patch(family(name)(), 3)
    inputs = [images(model, 2), images(model, 3, seed=1)]
    with torch.no_grad():
        wanted = [model(x) for x in inputs]
    meeting_at_every_module(model, 2)

    def run(x):
        with torch.no_grad():
            return model(x)

    got = at_once(*(lambda x=x: run(x) for x in inputs))
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


def test_settings_and_recordings_are_those_of_the_thread_that_opened_them():
    model, x = mm.patch(tiny(), 3), images(tiny())
    wanted = {}
    for r in (3, 2, 5):
        with mm.merging(model, r), mm.record(model) as rec:
            wanted[r] = model(x), rec.layers[-1].source, rec.layers[-1].attention
    meeting_at_every_module(model, 3)

    def changed(r, **settings):
        with mm.merging(model, r, **settings), mm.record(model) as rec:
            out = model(x)
        assert len(rec.forwards) == 1
        return out, rec.layers[-1].source, rec.layers[-1].attention

    got = at_once(lambda: changed(None), lambda: changed(2), lambda: changed(5))
    for r, outputs in zip((3, 2, 5), got, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(outputs, wanted[r], strict=True))


@pytest.mark.parametrize("patched", [True, False])
def test_a_saliency_pass_changes_nothing_that_a_training_pass_sees(patched):
    model = tiny().train()
    if patched:
        mm.patch(model, 3)
    x, modes = images(model), []
    wanted = model(x), mm.saliency_map(model, x, r=2, scale=0.5)
    classes = [type(module) for module in model.modules()]
    started, ended = threading.Event(), threading.Event()

    def hook(module, *_):
        if module.training:  # the pass that trains waits inside for a whole saliency pass
            started.set()
            ended.wait(20)
        modes.append((module is model.blocks[1], module.training))

    model.blocks[1].register_forward_hook(hook)

    def saliency():
        started.wait(20)
        got = mm.saliency_map(model, x, r=2, scale=0.5)
        seen = [type(module) for module in model.modules()], all(m.training for m in model.modules())
        ended.set()
        return got, seen

    out, (got, seen) = at_once(lambda: model(x), saliency)
    assert torch.equal(out, wanted[0])
    assert torch.equal(got, wanted[1])
    assert seen == (classes, True)
    assert modes == [(True, True)]
    assert not model.dynamic_img_size


@pytest.mark.parametrize("patched", [True, False])
def test_tasks_have_settings_of_their_own_and_lose_none(patched):
    model, x = tiny(), images(tiny())
    plain = model(x)
    if patched:
        mm.patch(model, 3)
    before = model(x)
    wanted = {r: mm.patch(tiny(), r)(x) for r in (0, 2, 5, 7)}

    async def task(r, steps):
        with mm.merging(model, r):
            right = []
            for _ in range(steps):
                await asyncio.sleep(0)
                right.append(torch.equal(model(x), wanted[r]))
        await asyncio.sleep(0)
        return right

    async def run():
        return await asyncio.gather(*(task(r, steps) for r, steps in ((0, 5), (2, 2), (5, 4), (7, 1))))

    assert all(all(right) for right in asyncio.run(run()))
    assert torch.equal(model(x), before)
    assert torch.equal(mm.unpatch(model)(x), plain)


@pytest.mark.parametrize("build", [tiny, tiny_torchvision])
def test_contexts_on_an_unpatched_model_do_not_disturb_other_threads(build):
    model, x = build(), images(build())
    wanted, merged = model(x), mm.patch(build(), 2)(x)
    interval, ended = sys.getswitchinterval(), threading.Event()
    sys.setswitchinterval(1e-5)

    def infer():
        right = []
        while not ended.is_set():
            right.append(torch.equal(model(x), wanted))
        return right

    def contexts():
        try:
            right = []
            for _ in range(100):
                with mm.merging(model, 2):
                    right.append(torch.equal(model(x), merged))
                with mm.record(model):
                    pass
            return right
        finally:
            ended.set()

    try:
        assert all(all(right) for right in at_once(infer, infer, contexts))
    finally:
        sys.setswitchinterval(interval)


def test_what_is_patched_inside_a_context_stays():
    model, x = tiny(), images(tiny())
    with mm.merging(model, 2):
        mm.patch(model, 5)
        assert torch.equal(model(x), mm.patch(tiny(), 5)(x))
    assert mm.merge_info(model).r == 5


@pytest.mark.parametrize("name", ["vit", "cait", "beit", "relpos", "torchvision"])
@pytest.mark.parametrize("inner", ["model", "r=0", "features", "saliency", "blocks"])
def test_a_hook_may_run_the_model_once_more(name, inner):
    model = mm.patch(family(name)(), [3, 2] + [0] * (len(blocks_of(family(name)())) - 2))
    x, other = images(model), images(model, 3, seed=1)
    wanted = model(x)

    def again():
        if inner == "r=0":
            with mm.merging(model, 0):
                return model(other)
        if inner == "saliency":
            return mm.saliency_map(model, other, r=1)
        if inner == "features" and hasattr(model, "forward_features"):
            return model.forward_features(other)
        if inner == "blocks" and name == "vit":
            return model.blocks(model._pos_embed(model.patch_embed(other)))
        return model(other)

    expected, busy, right = again(), [], []

    def hook(*_):
        if not busy:
            busy.append(True)
            try:
                right.append(torch.equal(again(), expected))
            finally:
                busy.clear()

    for module in model.modules():
        if module is model:
            continue
        for register in (module.register_forward_pre_hook, module.register_forward_hook):
            handle = register(hook)
            try:
                assert torch.equal(model(x), wanted)
                assert all(right)
            except MergeMixError as error:
                assert inner == "blocks", error
            handle.remove()
            right.clear()


@pytest.mark.parametrize("inference", [False, True])
def test_rows_in_another_order_are_refused(inference):
    model = mm.patch(tiny(), 3)
    handle = model.blocks[0].register_forward_hook(lambda module, args, output: output.flip(0))
    with torch.inference_mode(inference), pytest.raises(MergeMixError, match="block 1: got other tokens"):
        model(images(model))
    handle.remove()
    assert torch.equal(model(images(model)), mm.patch(tiny(), 3)(images(model)))


def test_passes_that_take_turns_are_refused():
    model = mm.patch(tiny(), 3)
    x, y = (model._pos_embed(model.patch_embed(images(model, seed=seed))) for seed in (0, 1))
    with pytest.raises(MergeMixError, match="block 1: got"):
        x, y = model.blocks[0](x), model.blocks[0](y)
        model.blocks[1](x)


def test_a_pass_that_was_left_in_the_middle_does_not_matter():
    model = mm.patch(tiny(), 3)
    x = images(model)
    wanted = model(x)
    model.blocks[0](model._pos_embed(model.patch_embed(images(model, 3, seed=1))))
    assert torch.equal(model(x), wanted)
    with pytest.raises(MergeMixError, match="block 1"):
        model.blocks[1](model._pos_embed(model.patch_embed(x)))
    assert torch.equal(model(x), wanted)


def test_a_compiled_model_has_a_pass_and_settings_for_each_thread():
    model, x = mm.patch(tiny(), 3), images(tiny())
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    wanted = {r: mm.patch(tiny(), r)(x) for r in (3, 0, 2)}

    def run(r, calls=6):
        right = []
        for _ in range(calls):
            with mm.merging(model, r), torch.no_grad():
                right.append(torch.equal(compiled(x), wanted[r]))
        return right

    with torch.no_grad():
        assert all(run(r)[0] for r in wanted)  # compiled one after the other
    assert all(all(right) for right in at_once(*(lambda r=r: run(r) for r in wanted)))

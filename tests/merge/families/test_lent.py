"""A block lends a tensor to a module inside its attention for one forward pass, and takes it back."""

import copy
import threading

import pytest
import torch
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.lent import Borrower, attach, borrowed, detach, lend
from timm_mergemix.merge.passes import Here


def test_what_is_lent_is_added_to_the_output_inside_the_context_alone():
    module, x = nn.Identity(), torch.ones(2)
    attach(module)
    assert torch.equal(module(x), x)
    with lend(Here(), module, torch.tensor([1.0, 2.0])):
        assert module(x).tolist() == [2.0, 3.0]
    assert torch.equal(module(x), x)
    assert borrowed(module) is None


def test_nothing_may_be_lent():
    module = nn.Identity()  # it has no hook, and needs none
    with lend(Here(), module, None):
        assert borrowed(module) is None


def test_a_borrower_uses_what_it_was_lent_by_itself():
    module, tensor = Borrower(), torch.ones(1)
    with lend(Here(), module, tensor):
        assert borrowed(module) is tensor
    assert borrowed(module) is None


def test_an_error_gives_the_tensor_back():
    module = Borrower()
    with pytest.raises(KeyError), lend(Here(), module, torch.ones(1)):
        raise KeyError
    assert borrowed(module) is None


def test_a_module_that_cannot_borrow_is_an_error():
    loan = lend(Here(), nn.Identity(), torch.ones(1))
    with pytest.raises(MergeMixError, match="an attention that was replaced"), loan:
        pass


def test_detaching_takes_the_hook_off_and_may_be_repeated():
    module = nn.Identity()
    before = copy.copy(vars(module))
    attach(module)
    assert len(module._forward_hooks) == 1
    detach(module)
    detach(module)
    assert not module._forward_hooks
    assert list(vars(module)) == list(before)


def test_another_thread_borrows_nothing():
    module, seen = Borrower(), []
    with lend(Here(), module, torch.ones(1)):
        thread = threading.Thread(target=lambda: seen.append(borrowed(module)))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_pass_inside_the_pass_borrows_nothing():
    module, here = Borrower(), Here()
    with lend(here, module, torch.ones(1)):
        here.current = object()
        assert borrowed(module) is None

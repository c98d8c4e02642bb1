"""Forward hooks are told apart by their function, so that a copy of one can be taken off too."""

import copy

from torch import nn

from timm_mergemix.merge.families.hooks import has_hook, hook, unhook


def one(module, args, output):
    """A hook."""


def other(module, args, output):
    """Another hook."""


def test_a_hook_is_registered_once_and_taken_off_alone():
    module = nn.Identity()
    module.register_forward_hook(other)
    hook(module, one)
    hook(module, one)
    assert list(module._forward_hooks.values()) == [other, one]
    assert has_hook(copy.deepcopy(module), one)
    unhook(module, one)
    unhook(module, one)
    assert list(module._forward_hooks.values()) == [other]
    assert not has_hook(module, one)

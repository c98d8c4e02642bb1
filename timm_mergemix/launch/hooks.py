"""Rebinds the globals of one script, so that it merges and mixes. Nothing in timm is changed."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType
from typing import Any

from torch import nn

from ..arguments import read_r
from ..errors import MergeMixError
from ..merge.patch import merge_info, patch
from ..mix.mixer import Mixer
from .check import check, is_primary, merges, mixes, warn
from .epoch import run_epoch
from .flags import add_merge_flags, add_mix_flags
from .mixing import build_encoder, build_mixer
from .validation import run_validation

__all__ = ["Run", "hook"]

_logger = logging.getLogger(__name__)

Function = Callable[..., Any]


class Run:
    """What the hooks of one run of a script share.

    Attributes:
        training: Whether the script trains.
        args: The script's arguments, once they are parsed.
        model: The first model that the script made, below every wrapper.
        mixer: What mixes its batches; None where the script does so itself, or nobody.
    """

    def __init__(self, training: bool) -> None:
        self.training = training
        self.args = Namespace()
        self.model: Any = None
        self.encoder: nn.Module | None = None
        self.mixer: Mixer | None = None

    def started(self, parser: ArgumentParser, args: Namespace) -> None:
        """The script has parsed its arguments."""
        check(args, self.training)
        warn(args, parser)
        self.args = args

    def create_model(self, original: Function, *args: Any, **kwargs: Any) -> nn.Module:
        """The script makes a model."""
        model = original(*args, **kwargs)
        mixing = self.training and mixes(self.args)
        reads_itself = mixing and self.args.mergemix > 0 and not self.args.mergemix_encoder
        if merges(self.args) or reads_itself:
            # A model that is read is patched for good: a compiled one would not survive a change of classes each step.
            self._patch(model)
        if self.model is None:
            self.model = model
            if mixing:
                self.encoder = build_encoder(self.args)
                self.mixer = build_mixer(self.args, model, self.encoder)
        self._report(model)
        return model

    def create_loader(self, original: Function, *args: Any, **kwargs: Any) -> Any:
        """The script makes a loader; mixing in its workers would come before ours."""
        if self.mixer is not None and kwargs.get("is_training"):
            kwargs["collate_fn"] = None
        return original(*args, **kwargs)

    def _patch(self, model: nn.Module) -> None:
        args = self.args
        merge_r = read_r(args.merge_r) if merges(args) else 0
        try:
            patch(model, r=merge_r, prop_attn=args.merge_prop_attn, matching=args.merge_matching)
        except MergeMixError as error:
            flag = "--merge-r" if merges(args) else "--mergemix"
            raise MergeMixError(f"{flag}: {error}") from error

    def _report(self, model: nn.Module) -> None:
        if not is_primary(self.args):
            return
        if merges(self.args):
            _logger.info(f"Token merging, r={self.args.merge_r}{_tokens(model)}")
        if self.mixer is not None:
            read = f", attention of {self.args.mergemix_encoder}" if self.encoder is not None else ""
            _logger.info(f"Batches are mixed on the device by {self.mixer}{read}")


def hook(script: ModuleType) -> Run:
    """Adds our flags to a script's parser, and rebinds the globals through which it merges and mixes.

    Args:
        script: A script that `timm_mergemix.launch.script.check_script` lets pass.

    Returns:
        What the hooks share; filled while the script runs.
    """
    run = Run(training=hasattr(script, "train_one_epoch"))
    _extend_parser(script.parser, run)
    _rebind(script, "create_model", run.create_model)
    if run.training:
        _rebind(script, "create_loader", run.create_loader)
        _rebind(script, "train_one_epoch", partial(run_epoch, run))
        _rebind(script, "validate", partial(run_validation, run))
    return run


def _extend_parser(parser: Any, run: Run) -> None:
    add_merge_flags(parser, run.training)
    if run.training:
        add_mix_flags(parser)
    parse = parser.parse_args

    def parse_args(*args: Any, **kwargs: Any) -> Namespace:
        parsed = parse(*args, **kwargs)
        run.started(parser, parsed)
        return parsed

    parser.parse_args = parse_args


def _rebind(script: ModuleType, name: str, replacement: Function) -> None:
    original = getattr(script, name)

    @wraps(original)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    setattr(script, name, hooked)


def _tokens(model: nn.Module) -> str:
    """The tokens after each block, where the model has an image size of its own."""
    try:
        return f": tokens {', '.join(map(str, merge_info(model).tokens))}"
    except MergeMixError:
        return ""

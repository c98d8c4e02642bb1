"""What transformers' vision models have in common, whatever their layers are."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers.utils import output_capturing

from ...model import MergingModel
from ...state import Merging
from ..backbone import Backbone

__all__ = ["MergingTransformersModel", "TransformersBackbone"]


class MergingTransformersModel(MergingModel):
    """Mixin before the class of a vision model.

    Its ``last_hidden_state`` and ``hidden_states`` hold all tokens; its ``attentions``, which eager attention returns,
    are those of the merged ones, as they were computed.
    """

    config: Any
    arguments: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.arguments = tuple(signature(cls.forward).parameters)[1:]
        # transformers keeps by the name of a class which hidden states and attentions it records, from `__init__` on.
        recorded = getattr(cls, "_can_record_outputs", None)
        dict.__setitem__(output_capturing._CAN_RECORD_REGISTRY, str(cls), recorded)

    @classmethod
    def is_custom_code(cls) -> bool:
        # If it were, transformers would not give the weights the names that they have on disk.
        plain: Any = cls.plain
        return plain.is_custom_code()

    @staticmethod
    def blocks_of(model: Any) -> Any:
        return model.encoder.layers

    @classmethod
    def named(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(cls.arguments, args, strict=False)) | kwargs

    def shows_tokens(self, call: dict[str, Any]) -> bool:
        asked = call.get("output_hidden_states")
        if asked is None:
            asked = getattr(self.config, "output_hidden_states", False)
        return asked is not False

    def begin_call(self, merging: Merging, call: dict[str, Any]) -> None:
        current = merging.here.current
        if current is not None:
            current.masked = call.get("attention_mask") is not None

    def resizes(self, call: dict[str, Any]) -> bool:
        return bool(call.get("interpolate_pos_encoding"))


class TransformersBackbone(Backbone):
    """Where things are in transformers' vision models. Those of one size take others if they are told to."""

    prefix: ClassVar[int] = 1  # leading tokens beside the registers

    def __init__(self, model: nn.Module) -> None:
        self._interpolates = False
        super().__init__(model)

    @property
    def config(self) -> Any:
        """The config of the model."""
        return self.model.config

    def find_blocks(self) -> Sequence[nn.Module]:
        merging: Any = self.models.get(type(self.model), type(self.model))
        return list(merging.blocks_of(self.model))

    @property
    def prefix_tokens(self) -> int:
        return self.prefix + (getattr(self.config, "num_register_tokens", 0) or 0)

    @property
    def has_class_token(self) -> bool:
        return self.prefix > 0

    @property
    def checkpoints(self) -> bool:
        return any(getattr(block, "gradient_checkpointing", False) for block in self.blocks)

    @property
    def in_channels(self) -> int:
        return self.config.num_channels

    @property
    def default_size(self) -> tuple[int, int] | None:
        return _pair(self.config.image_size)

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return _pair(self.config.patch_size)

    @property
    def takes_any_size(self) -> bool:
        """Whether the model resamples its positions without being asked to."""
        return False

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        size = self.default_size
        if size is not None and not self.takes_any_size and not self._interpolates:
            return size
        rows, columns = self.patch_size
        return -(-height // rows) * rows, -(-width // columns) * columns

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = self.patch_size
        return height // rows, width // columns

    def allow_any_size(self) -> None:
        """Makes the model take images of any size: it resamples its positions at each call that asks for it."""
        self._interpolates = not self.takes_any_size

    def run(self, images: Tensor) -> Any:
        other = {"interpolate_pos_encoding": True} if self._interpolates else {}
        return self.model.forward(pixel_values=images, return_dict=True, **other)

    def features(self, images: Tensor) -> Tensor:
        return self.run(images).last_hidden_state


def _pair(size: Any) -> tuple[int, int]:
    return tuple(size) if isinstance(size, Sequence) else (size, size)

"""The packages whose tests are run, by name."""

from __future__ import annotations

from .accelerate_tests import Accelerate
from .peer import Peer
from .peft_tests import Peft
from .timm_tests import Timm
from .transformers_tests import Transformers

PEERS: dict[str, Peer] = {"timm": Timm(), "peft": Peft(), "accelerate": Accelerate(), "transformers": Transformers()}

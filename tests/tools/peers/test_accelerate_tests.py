"""In the models of accelerate's tests, the batch norm is replaced by one with a ViT."""

from types import ModuleType

from torch import nn

from tools.peers.accelerate_tests import Accelerate
from tools.peers.patched import Patcher
from tools.peers.tiny import NormAndViT, RowsViT


class Norm(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(features)


def test_models_of_the_module_get_a_vit_and_others_are_left_alone() -> None:
    module = ModuleType(__name__)
    own = type("Own", (Norm,), {"__module__": __name__})
    vars(module).update(Own=own, Linear=nn.Linear, RegressionModel=nn.Module)
    patcher = Patcher(True)
    Accelerate().adapt(module, patcher)
    norm = own(4).batchnorm
    assert isinstance(norm, NormAndViT)
    assert norm.num_features == 4
    assert isinstance(vars(module)["RegressionModel"](), RowsViT)
    assert patcher.count == 2
    assert type(Norm(4).batchnorm) is nn.BatchNorm1d

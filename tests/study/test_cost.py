import torch

from timm_mergemix.bench.timing import Ratio
from timm_mergemix.study.cost import equal_epochs, step_costs


def test_each_method_has_a_cost(stripes: str) -> None:
    costs = step_costs(stripes, ["none", "timm", "mergemix-merged"], torch.device("cpu"), rounds=1, seconds=0)
    assert list(costs) == ["none", "timm", "mergemix-merged"]
    assert all(cost.value > 0 for cost in costs.values())


def test_equal_epochs() -> None:
    assert equal_epochs(100, Ratio(0.8, 0.7, 0.9)) == 125
    assert equal_epochs(100, Ratio(1.6, 1.5, 1.7)) == 62
    assert equal_epochs(1, Ratio(9.0, 8.0, 9.0)) == 1

"""Names of plain transformers are listed smallest first."""

from tools.peers.names import smallest_first


def test_names_are_sorted_by_size_and_large_models_are_left_out() -> None:
    names = smallest_first("test_vit*", None)
    assert names[0] == "test_vit"
    assert {"test_vit2", "test_vit3"} <= set(names)
    assert smallest_first("test_vit*", 0.38) == ["test_vit"]
    assert smallest_first("test_resnet*", None) == []

"""Names are those of plain transformers, from the smallest on."""

from tools.peers.names import smallest_first


def test_names_come_by_size_and_large_ones_are_left_out() -> None:
    names = smallest_first("test_vit*", None)
    assert names[0] == "test_vit"
    assert {"test_vit2", "test_vit3"} <= set(names)
    assert smallest_first("test_vit*", 0.38) == ["test_vit"]
    assert smallest_first("test_resnet*", None) == []

"""The names that are counted are those of plain transformers."""

from tools.census.names import NOT_PLAIN, PLAIN, candidates, full_size, is_plain


def test_a_pattern_chooses_among_files_with_plain_classes() -> None:
    assert set(candidates("test_*")) >= {"test_vit", "test_vit2"}
    assert candidates("test_resnet*") == []


def test_the_class_decides_what_is_plain() -> None:
    assert is_plain(full_size("test_vit"))
    assert not is_plain(full_size("test_resnet"))
    assert not PLAIN.keys() & NOT_PLAIN.keys()


def test_models_of_full_size_hold_no_values() -> None:
    assert all(parameter.is_meta for parameter in full_size("vit_giant_patch14_dinov2").parameters())

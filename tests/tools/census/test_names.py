"""Only the names of plain transformers are counted."""

from tools.census.names import NOT_PLAIN, PLAIN, candidates, full_size, is_plain


def test_a_pattern_selects_names_from_files_with_plain_classes() -> None:
    assert set(candidates("test_*")) >= {"test_vit", "test_vit2"}
    assert candidates("test_resnet*") == []


def test_the_class_determines_whether_a_model_is_plain() -> None:
    assert is_plain(full_size("test_vit"))
    assert not is_plain(full_size("test_resnet"))
    assert not PLAIN.keys() & NOT_PLAIN.keys()


def test_full_size_models_are_built_without_values() -> None:
    assert all(parameter.is_meta for parameter in full_size("vit_giant_patch14_dinov2").parameters())

"""A row returns the function and the file of its test."""

from tools.peers.row import Row


def test_a_function_has_no_parameters_and_a_file_no_function() -> None:
    row = Row("timm", "patched", "test_models.py::test_a[1-vit]", "passed", 1)
    assert row.function == "test_models.py::test_a"
    assert row.file == "test_models.py"

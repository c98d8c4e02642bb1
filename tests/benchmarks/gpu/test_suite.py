"""The tests that need CUDA are there, and their outcome is a record."""

from pathlib import Path

from benchmarks.gpu.suite import CUDA_TESTS, ROOT, run_tests


def test_every_file_of_tests_that_need_cuda_is_run() -> None:
    needing = [
        p
        for p in (ROOT / "tests").rglob("test_*.py")
        if "\npytestmark = pytest.mark.skipif(not torch.cuda" in p.read_text()
    ]
    assert sorted(CUDA_TESTS) == sorted(path.relative_to(ROOT).as_posix() for path in needing)


def test_outcomes(tmp_path: Path) -> None:
    for body, outcome in (("assert True", "passed"), ("assert False", "exit code 1")):
        file = tmp_path / "test_made.py"
        file.write_text(f"def test_it():\n    {body}\n")
        record = run_tests([str(file)])
        assert record["outcome"] == outcome and "1 " in record["summary"]

"""Records become tables, each kind its own."""

from benchmarks.gpu.report import markdown

COMMON = {"kind": "inference", "row": "a model, batch 4", "arm": "merged"}
RECORDS = [
    COMMON | {"seconds": 0.002, "images_per_second": 2000.0, "ratio": [0.5, 0.4, 0.6], "peak_bytes": 2**21},
    COMMON | {"arm": "published", "error": "out of memory"},
    {"kind": "accuracy", "row": "197 tokens, bfloat16", "arm": "mask", "error": 0.0102},
    {"kind": "count", "row": "a block", "arm": "", "kernels": 35, "synchronisations": 0, "copies": 1},
    {"kind": "tests", "row": "a file", "arm": "", "outcome": "passed", "summary": "3 passed"},
]


def test_each_record_is_in_its_table() -> None:
    text = markdown(RECORDS, {"device": "cuda, a GPU"})
    assert text.startswith("device cuda, a GPU\n\n## Inference")
    assert "| a model, batch 4 | merged | 2 | 2000 | 0.500 (0.400 to 0.600) | 2 |" in text
    assert "| published | out of memory |" in text
    assert "| mask | 1.0e-02 |" in text
    assert "| a block | 35 | 0 | 1 |" in text
    assert "| a file | passed | 3 passed |" in text


def test_kinds_without_a_record_have_no_table() -> None:
    assert markdown([RECORDS[3]], {}).count("## ") == 1

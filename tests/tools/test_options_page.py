"""The page of options agrees with the code."""

from tools.options_page import PAGE, options_page


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == options_page()


def test_each_option_has_a_row_and_differing_defaults_are_found() -> None:
    page = options_page()
    assert "| `ratio_mode` | `'area'` | `--ratio-mode` | MergeMix: the mixing ratio" in page
    assert "| `transforms.MergeMix` | `label_smoothing` | `0` | `0.1` |" in page
    assert "| `finetune` | `ratio_mode` | `'attention'` |" in page

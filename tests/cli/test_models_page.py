"""The page of all models in Markdown."""

import timm
import torchvision

from timm_mergemix.cli.models_page import models_page, torchvision_reports
from timm_mergemix.merge.find.support import Support


def ok(name: str, family: str = "timm A", count: int = 12, cls: str = "Block") -> Support:
    return Support(name, family, count, classes=((cls, count),))


REPORTS = [
    Support("net_b", reason="there is no adapter for Net"),
    ok("vit_b"),
    ok("vit_a"),
    ok("vit_c", count=24),
    ok("eva", "timm E", cls="EvaBlock"),
    Support("net_a", reason="there is no adapter for Net"),
    Support("odd", reason="it has a | b"),
]


def test_the_page() -> None:
    page = models_page(REPORTS, [ok("vit_b_16", "torchvision V"), Support("vit_x", reason="it has a | b")])
    assert page.endswith("\n") and not page.endswith("\n\n") and "\n\n\n" not in page
    assert (
        f"| timm {timm.__version__} | models |\n| --- | ---: |\n| supported | 4 |\n| refused | 3 |\n| all | 7 |" in page
    )
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert rows[5:7] == ["| timm A | Block | 3 | vit_a, vit_b, vit_c |", "| timm E | EvaBlock | 1 | eva |"]
    assert rows[8] == "| torchvision V | Block | 1 | vit_b_16 |"
    assert rows[10:] == ["| it has a \\| b | 2 | odd, vit_x |", "| there is no adapter for Net | 2 | net_a, net_b |"]


def test_it_says_where_it_comes_from() -> None:
    page = models_page(REPORTS, [])
    assert "`make models` generates the page by `timm-mergemix models --markdown docs/models.md`." in page


def test_the_order_of_the_reports_is_none_of_its_business() -> None:
    assert models_page(REPORTS, []) == models_page(REPORTS[::-1], [])


def test_empty_tables() -> None:
    assert models_page([], []).count("None.\n") == 3


def test_torchvision() -> None:
    reports = torchvision_reports()
    assert [report.name for report in reports] == torchvision.models.list_models(include="vit_*")
    assert all(reports) and reports[0].merges == "12 x EncoderBlock"

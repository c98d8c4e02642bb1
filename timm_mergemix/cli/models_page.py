"""The page docs/models.md, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import timm
import torchvision

from ..merge.find.sketch import sketch
from ..merge.find.support import Support, supported

__all__ = ["models_page", "torchvision_reports"]

INTRO = """# Models

This page lists every model of timm {timm}, with the class of the blocks in which its tokens merge or the reason why it
is refused.
Each model was built without weights and looked at; nothing here is written by hand.
`make models` generates the page by `timm-mergemix models --markdown docs/models.md`.
"""


def torchvision_reports() -> list[Support]:
    """What `supported` says of torchvision's vision transformers, which are no timm models."""
    models = torchvision.models
    return [
        replace(supported(sketch(partial(models.get_model, name, weights=None))), name=name)
        for name in models.list_models(include="vit_*")
    ]


def models_page(reports: Sequence[Support], others: Sequence[Support]) -> str:
    """The whole page; the same for the same reports.

    Args:
        reports: Of the models of timm.
        others: Of torchvision's models.
    """
    good = [report for report in reports if report]
    bad = [report for report in reports if not report]
    parts = [
        INTRO.format(timm=timm.__version__),
        _table(
            (f"timm {timm.__version__}", "models"),
            [("supported", f"{len(good):,}"), ("refused", f"{len(bad):,}"), ("all", f"{len(reports):,}")],
        ),
        "## Supported\n\nNames are without the tags of pretrained weights, which make no difference here.\n",
        _supported_table(good),
        f"## Supported, of torchvision {torchvision.__version__.split('+')[0]}\n",
        _supported_table([report for report in others if report]),
        "## Refused\n",
        _refused_table([*bad, *(report for report in others if not report)]),
    ]
    return "\n".join(parts)


def _supported_table(reports: Sequence[Support]) -> str:
    families = _grouped(reports, lambda report: str(report.family))
    rows = [
        (family, blocks, str(len(group)), _names(group))
        for family, members in families
        for blocks, group in _grouped(members, lambda report: " + ".join(cls for cls, _ in report.classes))
    ]
    return _table(("family", "blocks", "models", "names"), rows)


def _refused_table(reports: Sequence[Support]) -> str:
    groups = _grouped(reports, lambda report: str(report.reason))
    return _table(("reason", "models", "names"), [(reason, str(len(group)), _names(group)) for reason, group in groups])


def _grouped(reports: Sequence[Support], key: Callable[[Support], str]) -> list[tuple[str, list[Support]]]:
    """Groups by key, large ones first, those of one size by name."""
    groups: dict[str, list[Support]] = {}
    for report in reports:
        groups.setdefault(key(report), []).append(report)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def _names(reports: Sequence[Support]) -> str:
    return ", ".join(sorted(report.name for report in reports))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its numbers to the right."""
    if not rows:
        return "None.\n"
    rules = ["---:" if name == "models" else "---" for name in header]
    cells = [[_escaped(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rules, *cells]) + "\n"


def _escaped(cell: str) -> str:
    for mark in "\\|*<`":
        cell = cell.replace(mark, f"\\{mark}")
    return cell

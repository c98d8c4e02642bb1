"""Boxes of mixed images hold what is seen of their objects, counted pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from timm_mergemix import Blend, Draw, MergeMixError, Mixer, Mixup, Pairs, ResizeMix
from timm_mergemix.functional import visible_boxes
from timm_mergemix.mix.blends import CutMixBlend, MixupBlend, Paste, ResizeMixBlend

from .batches import mergemix, noise, quick

HEIGHT, WIDTH = 9, 11
Pixels = set[tuple[int, int]]
sides = st.tuples(*[st.integers(-3, 13)] * 4)
rectangles = sides.map(lambda box: (*map(min, box[:2], box[2:]), *map(max, box[:2], box[2:])))


def pixels(left: float, top: float, right: float, bottom: float) -> Pixels:
    return {(x, y) for x in range(int(left), int(right)) for y in range(int(top), int(bottom))}


def around(seen: Pixels) -> list[float]:
    """The smallest box around some pixels."""
    xs, ys = zip(*seen, strict=True)
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


@quick
@given(st.lists(rectangles, max_size=6), rectangles, st.booleans())
def test_what_is_seen_of_boxes_is_what_their_pixels_say(boxes: list, paste: tuple, inside: bool) -> None:
    got, share = visible_boxes(torch.tensor(boxes).view(-1, 4).float(), paste, inside)
    assert got.shape == (len(boxes), 4) and share.shape == (len(boxes),)
    for box, clipped, part in zip(boxes, got.tolist(), share.tolist(), strict=True):
        whole = pixels(*box)
        seen = whole & pixels(*paste) if inside else whole - pixels(*paste)
        assert part == pytest.approx(len(seen) / max(1, len(whole)))
        if seen:
            assert clipped == around(seen)
        else:
            assert part == 0 and (clipped[2] - clipped[0]) * (clipped[3] - clipped[1]) == 0


def test_every_way_in_which_two_boxes_meet_is_right() -> None:
    """All boxes with corners on a line of five numbers, against one rectangle in the middle."""
    lines = [(low, high) for low in range(5) for high in range(low, 5)]
    boxes = [(left, top, right, bottom) for left, right in lines for top, bottom in lines]
    for inside in (True, False):
        got, share = visible_boxes(torch.tensor(boxes).double(), (1, 1, 3, 3), inside)
        for box, clipped, part in zip(boxes, got.tolist(), share.tolist(), strict=True):
            seen = pixels(*box) & pixels(1, 1, 3, 3) if inside else pixels(*box) - pixels(1, 1, 3, 3)
            assert part == pytest.approx(len(seen) / max(1, len(pixels(*box))))
            assert clipped == (around(seen) if seen else [box[0], box[1], box[0], box[1]])


def test_boxes_between_pixels_are_as_exact_as_others() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75]])
    clipped, share = visible_boxes(boxes, (0.25, 0, 1, 1), inside=False)
    assert clipped.tolist() == [[0, 0, 0.25, 0.5], [0.25, 0.25, 0.25, 0.25]] and share.tolist() == [0.5, 0]
    clipped, share = visible_boxes(boxes, (0.25, 0, 0.5, 1), inside=True)
    assert clipped.tolist() == [[0.25, 0, 0.5, 0.5], [0.25, 0.25, 0.5, 0.75]] and share.tolist() == [0.5, 0.5]


def objects(boxes: list[list[tuple]]) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes of each image, and a label for each, which is a number of its own."""
    found = [torch.tensor(each).view(-1, 4).double() for each in boxes]
    return found, [torch.arange(len(each)) + 10 * number for number, each in enumerate(boxes)]


def counted(own: tuple, partner: tuple, hidden: Pixels, minimum: float) -> tuple[list, list]:
    """Boxes and labels of a mix by counting: the partner's pixels hide those of the image."""
    canvas = pixels(0, 0, WIDTH, HEIGHT)
    boxes, labels = [], []
    for (found, names), shown in ((own, canvas - hidden), (partner, hidden)):
        for box, name in zip(found.tolist(), names.tolist(), strict=True):
            before = pixels(*box) & canvas
            seen = before & shown
            if seen and len(seen) / len(before) >= minimum - 1e-9:
                boxes.append(around(seen))
                labels.append(name)
    return boxes, labels


@quick
@given(
    boxes=st.lists(st.lists(rectangles, max_size=4), min_size=1, max_size=5),
    mode=st.sampled_from(["batch", "pair", "elem"]),
    limits=st.sampled_from([None, (0.2, 0.9)]),
    prob=st.sampled_from([0.5, 1.0]),
    minimum=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_objects_of_cutmix_are_those_that_are_seen(
    boxes: list, mode: str, limits: tuple | None, prob: float, minimum: float, seed: int
) -> None:
    found, labels = objects(boxes)
    before = [box.clone() for box in found]
    mixer = Mixup(0.0, 1.0, limits, mode=mode, prob=prob, generator=torch.Generator().manual_seed(seed))
    images = noise(len(boxes), 1, HEIGHT, WIDTH)
    got = mixer.mix(images, boxes=found, box_labels=labels, min_visible=minimum)
    assert all(map(torch.equal, found, before))
    for row, partner in enumerate(got.index.tolist()):
        if got.kind[row] == "none" or row == partner:  # its own pixels in their own place change nothing
            assert torch.equal(got.boxes[row], found[row]) and torch.equal(got.box_labels[row], labels[row])
            continue
        hidden = {(x, y) for y, x in (~got.mask[row, 0]).nonzero().tolist()}
        wanted = counted((found[row], labels[row]), (found[partner], labels[partner]), hidden, minimum)
        assert (got.boxes[row].tolist(), got.box_labels[row].tolist()) == wanted


@quick
@given(
    boxes=st.lists(st.lists(rectangles, max_size=3), min_size=1, max_size=4),
    minimum=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_objects_of_resizemix_are_resized_with_their_image(boxes: list, minimum: float, seed: int) -> None:
    found, labels = objects(boxes)
    mixer = ResizeMix(mode="elem", generator=torch.Generator().manual_seed(seed))
    got = mixer.mix(noise(len(boxes), 1, HEIGHT, WIDTH), boxes=found, box_labels=labels, min_visible=minimum)
    for row, partner in enumerate(got.index.tolist()):
        hidden = {(x, y) for y, x in (~got.mask[row, 0]).nonzero().tolist()}
        left, top, right, bottom = around(hidden)
        kept, names = counted((found[row], labels[row]), (found[partner][:0], labels[partner][:0]), hidden, minimum)
        for box, name in zip(found[partner].tolist(), labels[partner].tolist(), strict=True):
            inside = pixels(*box) & pixels(0, 0, WIDTH, HEIGHT)
            if inside:  # the whole partner is seen, so each of its objects is
                limits = torch.tensor(around(inside)).view(2, 2) / torch.tensor([WIDTH, HEIGHT])
                scaled = limits * torch.tensor([right - left, bottom - top]) + torch.tensor([left, top])
                kept.append(scaled.flatten().tolist())
                names.append(name)
        torch.testing.assert_close(got.boxes[row], torch.tensor(kept).view(-1, 4).double(), rtol=0, atol=1e-5)
        assert got.box_labels[row].tolist() == names


def test_boxes_are_mixed_by_the_numbers_that_mix_images_and_masks() -> None:
    images, masks = noise(4, 3, 12, 12), torch.randint(9, (4, 12, 12))
    found, labels = [torch.tensor([[0.0, 0, 12, 12]])] * 4, [torch.tensor([row]) for row in range(4)]
    for make in (lambda **o: Mixup(0.0, 1.0, **o), lambda **o: ResizeMix(**o)):
        first, second = (
            make(num_classes=4, mode="elem", generator=torch.Generator().manual_seed(1)).mix(
                images, torch.arange(4), **more
            )
            for more in ({}, {"masks": masks, "boxes": found, "box_labels": labels, "min_visible": 0.0})
        )
        assert torch.equal(first.images, second.images) and torch.equal(first.targets, second.targets)
        for row in range(4):
            mask = second.mask[row, 0]
            ys, xs = (~mask).nonzero(as_tuple=True)
            box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            torch.testing.assert_close(second.boxes[row][-1], torch.stack(box).float())  # the whole partner
            assert second.box_labels[row].tolist() == [row, 3 - row]


def test_large_boxes_of_half_precision_do_not_overflow() -> None:
    box = torch.tensor([[0.0, 0.0, 400.0, 400.0]])
    for dtype in (torch.float16, torch.bfloat16):
        clipped, share = visible_boxes(box.to(dtype), (0, 0, 100, 400), inside=False)
        assert clipped.tolist() == [[100, 0, 400, 400]] and share.tolist() == [0.75]
        got = ResizeMix((0.5, 0.5)).mix(
            torch.zeros(2, 1, 400, 400), boxes=[box.to(dtype)] * 2, box_labels=[torch.tensor([1])] * 2
        )
        assert got.boxes[0].dtype == dtype and len(got.boxes[0]) == 2
        assert (got.boxes[0][1, 2:] - got.boxes[0][1, :2]).tolist() == pytest.approx([200, 200], abs=2)


def test_boxes_of_a_middle_image_stay_under_cutmix_and_not_under_resizemix() -> None:
    found, labels = [torch.tensor([[1.0, 1, 8, 8]])], [torch.tensor([7])]
    cut = Mixup(0.0, 1.0, (0.5, 0.5)).mix(noise(1, 1, 9, 9), boxes=found, box_labels=labels)
    assert torch.equal(cut.boxes[0], found[0]) and torch.equal(cut.box_labels[0], labels[0])
    resized = ResizeMix((0.5, 0.5)).mix(noise(1, 1, 9, 9), boxes=found, box_labels=labels, min_visible=0.0)
    assert resized.box_labels[0].tolist() == [7, 7]


def test_boxes_move_with_their_batch() -> None:
    got = ResizeMix().mix(noise(2, 1, 9, 9), boxes=[torch.ones(1, 4)] * 2, box_labels=[torch.ones(1)] * 2)
    moved = got.to("meta")
    assert {each.device.type for each in (*moved.boxes, *moved.box_labels)} == {"meta"}


BOXES, LABELS = [torch.zeros(2, 4), torch.zeros(0, 4)], [torch.zeros(2), torch.zeros(0)]


@pytest.mark.parametrize(
    ("argument", "boxes", "labels", "wanted"),
    [
        ("box_labels", BOXES, None, "a list with a tensor for each of the 2 images"),
        ("boxes", None, LABELS, "a list with a tensor for each"),
        ("boxes", BOXES[:1], LABELS, "got those of 1 images"),
        ("box_labels", BOXES, LABELS * 2, "got those of 4 images"),
        ("boxes", torch.zeros(2, 3, 4), LABELS, "got a float32 tensor"),
        ("boxes", 3, LABELS, "got 3"),
        (r"boxes\[0\]", [None, BOXES[1]], LABELS, r"got None, wanted a float tensor of shape \(n, 4\)"),
        (r"boxes\[0\]", [BOXES[0].long(), BOXES[1]], LABELS, "got an? int64"),
        (r"boxes\[1\]", [BOXES[0], torch.zeros(0)], LABELS, r"shape \(n, 4\)"),
        (r"boxes\[0\]", [BOXES[0] * float("nan"), BOXES[1]], LABELS, "NaN or infinite"),
        (r"boxes\[0\]", [BOXES[0] + float("inf"), BOXES[1]], LABELS, "NaN or infinite"),
        (r"boxes\[1\]", [BOXES[0], BOXES[1].double()], LABELS, "got torch.float64 on cpu, wanted torch.float32"),
        (r"boxes\[1\]", [BOXES[0], BOXES[1].to("meta")], LABELS, "got torch.float32 on meta, wanted .* on cpu"),
        (r"boxes\[0\]", [torch.nn.Parameter(BOXES[0]), BOXES[1]], LABELS, "got a Parameter, wanted a plain tensor"),
        (r"box_labels\[0\]", BOXES, [torch.zeros(3), LABELS[1]], r"shape \(2,\)"),
        (r"box_labels\[1\]", BOXES, [LABELS[0], torch.zeros(0, 3)], r"shape \(0,\)"),
        (r"box_labels\[0\]", BOXES, [[1, 2], LABELS[1]], r"got \[1, 2\]"),
        (r"box_labels\[1\]", BOXES, [LABELS[0], LABELS[1].long()], "got torch.int64 on cpu, wanted torch.float32"),
    ],
)
def test_bad_boxes_are_named_before_anything_is_drawn(
    argument: str, boxes: object, labels: object, wanted: str
) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^{argument}: .*{wanted}"):
        ResizeMix().mix(noise(2, 3, 8, 8), torch.arange(2), boxes=boxes, box_labels=labels)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("images", [None, noise(3, 8, 8), torch.zeros(0, 3, 8, 8)])
def test_bad_images_are_named_before_their_boxes(images: object) -> None:
    with pytest.raises(MergeMixError, match=r"^images: got"):
        ResizeMix().mix(images, boxes=BOXES, box_labels=LABELS)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_a_bad_share_is_named(value: object) -> None:
    with pytest.raises(MergeMixError, match=r"^min_visible: got"):
        ResizeMix().mix(noise(2, 3, 8, 8), torch.arange(2), min_visible=value)


MIXED = Mixer([(CutMixBlend(), 0.5), (ResizeMixBlend(), 0.3), (MixupBlend(), 0.1)])


@pytest.mark.parametrize(("name", "mixer"), [("mergemix", mergemix()), ("mixup", Mixup(1.0)), ("mixup", MIXED)])
def test_boxes_are_refused_by_the_name_of_what_scatters_them(name: str, mixer: Mixer) -> None:
    before = torch.get_rng_state()
    with pytest.raises(MergeMixError, match=rf"^boxes: got boxes for {name}, wanted only CutMix or ResizeMix"):
        mixer.mix(noise(2, 3, 8, 8), torch.arange(2), boxes=BOXES, box_labels=LABELS)
    assert torch.equal(torch.get_rng_state(), before)


class Corner:
    """A user's blend: the partner's upper left corner."""

    name, pastes_box = "corner", True

    def __init__(self, boxes: object = ((0, 4, 0, 4),) * 2, masked: bool = True, paste: object = None) -> None:
        self.boxes, self.masked, self.paste = boxes, masked, paste

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        mask = torch.ones(len(pairs.own), 1, 8, 8, dtype=torch.bool)
        mask[..., :4, :4] = False
        images, ratio = torch.where(mask, pairs.own, pairs.partner), torch.full((len(mask),), 0.75)
        paste = self.paste or Paste(torch.as_tensor(self.boxes), resized=False)
        return Blend(images, ratio, mask if self.masked else None, paste=None if self.paste == "none" else paste)


def test_a_blend_of_ones_own_may_take_boxes() -> None:
    found = [torch.tensor([[0.0, 0, 8, 4]]), torch.tensor([[0.0, 0, 2, 2]])]
    got = Mixer([(Corner(), 1.0)]).mix(noise(2, 1, 8, 8), boxes=found, box_labels=[torch.tensor([i]) for i in (5, 6)])
    assert [each.tolist() for each in got.boxes] == [[[4, 0, 8, 4], [0, 0, 2, 2]], [[0, 0, 4, 4]]]
    assert [each.tolist() for each in got.box_labels] == [[5, 6], [5]]


@pytest.mark.parametrize(
    ("blend", "message"),
    [
        (Corner(masked=False), "paste of corner: (.|\n)* wanted a Paste, in a blend that also has a mask"),
        (Corner(paste=(0, 4, 0, 4)), "paste of corner: .* wanted a Paste, in a blend that also has a mask"),
        (Corner([[0, 4, 0, 9]] * 2), r"boxes of corner: got the box \[0, 4, 0, 9\]"),
        (Corner([[0, 4, 0, 4]]), r"boxes of corner: got .*, wanted an integer tensor of shape \(2, 4\)"),
        (Corner([[0.0, 4, 0, 4]] * 2), "boxes of corner: got .*, wanted an integer tensor"),
        (Corner(paste="none"), "boxes: got boxes, wanted None, since this way of mixing does not report"),
    ],
)
def test_what_a_blend_of_ones_own_pastes_is_checked(blend: Corner, message: str) -> None:
    with pytest.raises(MergeMixError, match=f"^{message}"):
        Mixer([(blend, 1.0)]).mix(noise(2, 1, 8, 8), boxes=BOXES, box_labels=LABELS)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("boxes", lambda: visible_boxes([[0, 0, 1, 1]], (0, 0, 1, 1), True)),
        ("boxes", lambda: visible_boxes(torch.zeros(2, 4).long(), (0, 0, 1, 1), True)),
        ("boxes", lambda: visible_boxes(torch.zeros(4), (0, 0, 1, 1), True)),
        ("paste", lambda: visible_boxes(torch.zeros(2, 4), (0, 0, 1), True)),
        ("paste", lambda: visible_boxes(torch.zeros(2, 4), 3, True)),
        ("paste", lambda: visible_boxes(torch.zeros(2, 4), (0, 0, float("nan"), 1), True)),
        ("paste", lambda: visible_boxes(torch.zeros(2, 4), ("0", 0, 1, 1), True)),
        ("paste", lambda: visible_boxes(torch.zeros(2, 4), (2, 0, 1, 1), True)),
        ("paste", lambda: visible_boxes(torch.zeros(2, 4), (0, 2, 1, 1), True)),
        ("inside", lambda: visible_boxes(torch.zeros(2, 4), (0, 0, 1, 1), "no")),
    ],
)
def test_bad_input_is_named(argument: str, call: Callable[[], object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        call()

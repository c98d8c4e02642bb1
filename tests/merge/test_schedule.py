"""Every form of r."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.merge.schedule import (
    Schedule,
    as_typed,
    check_r,
    clipped_blocks,
    merges_any,
    parse,
    read_r,
    resolve,
    typed_r,
)

from .slow_schedule import slow_schedule

DEPTHS = st.integers(1, 16)
PATCHES = st.integers(0, 300)
FAST = settings(max_examples=50, deadline=None)


def merges(r, patches, depth):
    return resolve(parse(r, depth), patches)


def most(patches, depth):
    """The largest total: half of what is left, in every block."""
    left = patches
    for _ in range(depth):
        left -= left // 2
    return patches - left


def feasible(values, patches):
    for r in values:
        if not 0 <= r <= patches // 2:
            return False
        patches -= r
    return True


@pytest.mark.parametrize(
    ("r", "form"),
    [
        (0, "constant"),
        (13, "constant"),
        (("decreasing", 4), "decreasing"),
        ([4, 0, 2], "list"),
        ((4, 0, 2), "list"),
        (("total", 9), "total"),
        (["keep", 0.5], "keep"),
        (("keep", 1), "keep"),
    ],
)
def test_every_form_of_r_is_known(r, form):
    schedule = parse(r, 3)
    assert schedule.form == form
    assert schedule.depth == 3
    assert parse(schedule.r, 3) == schedule


@pytest.mark.parametrize(
    ("r", "patches", "depth", "wanted"),
    [
        (13, 196, 12, (13,) * 12),
        (8, 16, 3, (8, 4, 2)),
        (1000, 16, 3, (8, 4, 2)),
        (5, 1, 3, (0, 0, 0)),
        (5, 0, 2, (0, 0)),
        (0, 196, 4, (0, 0, 0, 0)),
        (("decreasing", 8), 196, 5, (16, 12, 8, 4, 0)),
        (("decreasing", 8), 196, 2, (16, 0)),
        (("decreasing", 8), 196, 1, (8,)),
        (("decreasing", 50), 16, 3, (8, 4, 0)),
        (("decreasing", 0), 16, 3, (0, 0, 0)),
        ([8, 4, 2], 16, 3, (8, 4, 2)),
        (("total", 98), 196, 12, (9, 9, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8)),
        (("total", 14), 16, 3, (8, 4, 2)),
        (("total", 0), 16, 3, (0, 0, 0)),
        (("total", 5), 16, 1, (5,)),
        (("keep", 0.5), 196, 12, (9, 9, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8)),
        (("keep", 1.0), 196, 3, (0, 0, 0)),
        (("keep", 0.125), 16, 3, (8, 4, 2)),
    ],
)
def test_every_form_gives_each_block_its_merges(r, patches, depth, wanted):
    assert merges(r, patches, depth) == wanted


@FAST
@given(r=st.integers(0, 200), patches=PATCHES, depth=DEPTHS)
def test_an_int_is_clipped_to_half_of_what_may_merge(r, patches, depth):
    left = patches
    for got in merges(r, patches, depth):
        assert got == min(r, left // 2)
        left -= got


@FAST
@given(r=st.integers(0, 100), patches=PATCHES, depth=DEPTHS)
def test_decreasing_goes_from_2r_to_0_and_is_clipped(r, patches, depth):
    left = patches
    for i, got in enumerate(merges(("decreasing", r), patches, depth)):
        wanted = r if depth == 1 else math.floor(2 * r * (1 - i / (depth - 1)) + 1e-9)
        assert got == min(wanted, left // 2)
        left -= got


@FAST
@given(data=st.data(), patches=PATCHES, depth=DEPTHS)
def test_every_feasible_total_is_met_exactly(data, patches, depth):
    total = data.draw(st.integers(0, most(patches, depth)))
    got = merges(("total", total), patches, depth)
    assert len(got) == depth
    assert sum(got) == total
    assert feasible(got, patches)
    assert list(got) == sorted(got, reverse=True)


def test_every_total_of_small_sequences_is_met_or_refused():
    for patches in range(20):
        for depth in range(1, 6):
            for total in range(patches + 2):
                if total <= most(patches, depth):
                    assert sum(merges(("total", total), patches, depth)) == total
                else:
                    with pytest.raises(MergeMixError, match=f"at most {most(patches, depth)} "):
                        merges(("total", total), patches, depth)


@FAST
@given(patches=st.integers(40, 300), depth=st.integers(1, 16), total=st.integers(0, 300))
def test_a_total_that_halving_does_not_touch_is_spread_evenly(patches, depth, total):
    assume(-(-total // depth) * (depth + 1) <= patches)
    got = merges(("total", total), patches, depth)
    assert max(got) - min(got) <= 1


@FAST
@given(ratio=st.floats(0.01, 1.0), patches=st.integers(1, 300), depth=DEPTHS)
def test_keep_leaves_the_ratio_or_says_what_can(ratio, patches, depth):
    left = max(1, math.floor(ratio * patches + 0.5))
    total = patches - left
    if total <= most(patches, depth):
        assert sum(merges(("keep", ratio), patches, depth)) == total
    else:
        least = patches - most(patches, depth)
        with pytest.raises(
            MergeMixError, match=f"got a keep ratio of .*, {left} of .*, wanted a ratio that leaves at least {least} of"
        ):
            merges(("keep", ratio), patches, depth)


@FAST
@given(values=st.lists(st.integers(0, 40), min_size=1, max_size=8), patches=st.integers(0, 120))
def test_a_list_is_taken_as_it_is_or_refused(values, patches):
    if feasible(values, patches):
        assert merges(values, patches, len(values)) == tuple(values)
    else:
        with pytest.raises(MergeMixError, match=r"r\[\d+\]: got \d+, wanted at most \d+, half of the \d+ patch tokens"):
            merges(values, patches, len(values))


@settings(max_examples=500, deadline=None)
@given(data=st.data(), patches=PATCHES, depth=DEPTHS)
def test_every_form_equals_the_slow_reference(data, patches, depth):
    form = data.draw(st.sampled_from(["constant", "decreasing", "list", "total", "keep"]))
    if form == "list":
        value, left = [], patches
        for _ in range(depth):
            value.append(data.draw(st.integers(0, min(left // 2, 40))))
            left -= value[-1]
        r = value
    elif form == "keep":
        value = data.draw(st.floats(0.01, 1.0))
        assume(patches - max(1, math.floor(value * patches + 0.5)) <= most(patches, depth))
        r = (form, value)
    elif form == "total":
        value = data.draw(st.integers(0, most(patches, depth)))
        r = (form, value)
    else:
        value = data.draw(st.integers(0, 60))
        r = value if form == "constant" else (form, value)
    assert merges(r, patches, depth) == slow_schedule(form, value, patches, depth)


class Merges(torch.nn.Module):
    """Returns how many tokens merge in each block, as a tensor."""

    def __init__(self, r, depth):
        super().__init__()
        self.schedule = parse(r, depth)

    def forward(self, x):
        return torch.stack([torch.zeros(()) + r for r in resolve(self.schedule, x.shape[1])])


def exported(r, depth, example):
    dims = {"x": {1: torch.export.Dim.DYNAMIC}}
    return torch.export.export(Merges(r, depth), (torch.zeros(1, example),), dynamic_shapes=dims, strict=False).module()


@pytest.mark.parametrize(
    "r", [3, 0, ("decreasing", 4), [5, 0, 9, 1], ("total", 18), ("keep", 0.5), ("keep", 0.29), ("keep", 1.0)], ids=str
)
@pytest.mark.filterwarnings("ignore")
def test_an_export_gives_the_merges_of_every_size(r):
    program = exported(r, 4, 100)
    for patches in (40, 50, 64, 99, 100, 101, 143, 196, 577):
        assert tuple(program(torch.zeros(1, patches)).int().tolist()) == merges(r, patches, 4)


@pytest.mark.parametrize("r", [8, ("decreasing", 8), ("total", 28), ("keep", 0.1)], ids=str)
def test_an_export_refuses_an_example_that_is_too_small(r):
    assert merges(r, 32, 4)
    with pytest.raises(MergeMixError, match=r"^r: got .* image size that is left open, .* wanted an example image"):
        exported(r, 4, 32)


def test_a_list_that_cannot_be_met_names_the_block_and_what_it_can_do():
    with pytest.raises(MergeMixError, match=r"r\[1\]: got 5, wanted at most 4, half of the 8 patch tokens .* block 1"):
        merges([8, 5, 0], 16, 3)


@pytest.mark.parametrize(
    "r",
    [
        True,
        False,
        -1,
        1.0,
        2.5,
        math.nan,
        None,
        "keep",
        "many",
        "keep:half",
        "half:0.5",
        "1,two",
        "-1",
        "",
        b"8",
        {"total": 3},
        {1, 2, 3},
        [],
        [1, 2],
        [1, 2, 3, 4],
        [1, 2, -3],
        [1, 2, 3.0],
        [True, 2, 3],
        [1, "2", 3],
        ("total",),
        ("total", 3, 4),
        ("total", -1),
        ("total", 3.0),
        ("total", True),
        ("total", None),
        ("decreasing", -1),
        ("decreasing", 1.5),
        ("keep", 0),
        ("keep", 0.0),
        ("keep", -0.5),
        ("keep", 1.5),
        ("keep", math.nan),
        ("keep", math.inf),
        ("keep", True),
        ("keep", "0.5"),
        ("increasing", 3),
        ("", 3),
        (3, "total"),
    ],
)
def test_bad_forms_are_refused(r):
    with pytest.raises(MergeMixError, match=r"^r.*: got .*, wanted "):
        parse(r, 3)


@pytest.mark.parametrize(
    ("text", "r"),
    [
        ("13", 13),
        ("0", 0),
        ("1,2,3", [1, 2, 3]),
        ("decreasing:4", ("decreasing", 4)),
        ("total:9", ("total", 9)),
        ("keep:0.5", ("keep", 0.5)),
    ],
)
def test_the_text_of_a_form_is_taken_as_the_form(text, r):
    assert read_r(text) == r and parse(text, 3) == parse(r, 3)
    assert typed_r(text) == text
    check_r("saliency_r", text)


def test_a_text_that_cannot_be_read_names_the_argument_and_the_texts():
    with pytest.raises(MergeMixError, match=r"^saliency_r: got 'keep:half', wanted 13, decreasing:13, total:98"):
        check_r("saliency_r", "keep:half")


def test_a_list_of_another_length_says_the_depth():
    with pytest.raises(MergeMixError, match="a list of 3 integers"):
        parse([1, 2], 3)


def test_an_unknown_name_lists_the_forms():
    with pytest.raises(MergeMixError, match=r"'decreasing'.*'total'.*'keep'"):
        parse(("increasing", 3), 3)


def test_schedules_can_be_compared_and_hashed():
    assert parse([1, 2, 3], 3) == Schedule("list", (1, 2, 3), 3)
    assert len({parse((1, 2, 3), 3), parse([1, 2, 3], 3), parse(2, 3)}) == 2


@pytest.mark.parametrize(("r", "merges"), [(("keep", 1.0), False), (("keep", 0.9), True), (0, False), (1, True)])
def test_whether_anything_merges(r, merges):
    assert merges_any(r) is merges


@given(st.integers(0, 40), DEPTHS, PATCHES)
@FAST
def test_a_block_is_clipped_where_it_merges_fewer_tokens_than_r(r, depth, patches):
    clipped = sum(each < r for each in merges(r, patches, depth))
    assert clipped_blocks(parse(r, depth), patches) == clipped
    unlimited = merges(("decreasing", r), 10**6, depth)
    fewer = [got < asked for got, asked in zip(merges(("decreasing", r), patches, depth), unlimited, strict=True)]
    assert clipped_blocks(parse(("decreasing", r), depth), patches) == sum(fewer)
    for form in (("total", r), ("keep", 0.01), [r] * depth):
        assert clipped_blocks(parse(form, depth), patches) == 0


@pytest.mark.parametrize("r", [13, ("decreasing", 13), ("total", 98), ("keep", 0.25), [1, 2, 3]])
def test_every_form_is_typed_as_it_is_read(r):
    assert read_r(as_typed(r)) == r
    assert as_typed(as_typed(r)) == as_typed(r)


@pytest.mark.parametrize(
    ("r", "message"), [("keep:2", r"^r=keep:...: got 2.0"), (("keep", 2), r"^r=\('keep', ...\): got 2")]
)
def test_an_error_names_a_form_as_it_was_written(r, message):
    with pytest.raises(MergeMixError, match=message):
        check_r("r", r)

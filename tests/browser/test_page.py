"""The page in a browser: it opens, plays, filters, listens to keys, and looks right everywhere."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from tests.browser.driving import (
    drag,
    list_counts,
    point,
    set_threshold,
    settle,
    table,
    time_of,
    until,
)
from tests.browser.reports import DETECTIONS, OVERVIEW, found_of, three_videos
from wtal.report.data import Block, ClassResult, ReportData, VideoRow

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Visit


DASH = "\N{EN DASH}"


def playable(page: Page) -> None:
    until(page, "document.getElementById('media').readyState >= 1")
    settle(page)


def off_of(page: Page) -> list[str]:
    """What the list says of videos that disagree with their tags."""
    return page.locator("#list .more .off").filter(has_text="tag").all_inner_texts()


def counts_at(threshold: float) -> dict[str, int]:
    return {v: sum(row[3] >= threshold for row in rows) for v, rows in DETECTIONS.items()}


# Opening -----------------------------------------------------------------------------------------


def test_the_first_video_of_the_list_is_open_and_can_be_played(visit: Visit) -> None:
    page = visit()
    assert page.title() == f"a {DASH} Three videos"
    assert page.locator("#video-name").inner_text() == "a"
    playable(page)
    page.keyboard.press("Space")
    until(page, "document.getElementById('media').currentTime > 0.3")
    assert page.get_by_role("button", name="Pause").is_visible()
    page.keyboard.press("Space")
    assert page.locator("#media").evaluate("video => video.paused")
    assert time_of(page) > 0.2


def test_a_skipped_video_is_listed_but_neither_opened_first_nor_counted(visit: Visit) -> None:
    skipped = VideoRow("0 broken", note="It is empty.", skipped=True)
    report = three_videos(overview=OVERVIEW)
    index = replace(
        report.index,
        videos=(skipped, *report.index.videos),
        detections=found_of([[], *DETECTIONS.values()]),
    )
    page = visit(ReportData(index, lambda: iter([Block(), *report.blocks()])))
    assert list(list_counts(page)) == ["0 broken", "a", "b", "c"]
    assert page.locator("#video-name").inner_text() == "a"
    assert page.locator("#shown").inner_text() == "5 of 6 detections in 3 videos"
    assert page.locator("#listed").inner_text() == "3 videos, 1 skipped"
    page.evaluate("location.hash = '#overview'")
    settle(page)
    facts = page.locator("#charts .facts").inner_text().split()
    assert facts[:4] == ["videos", "3", "skipped", "1"]


def test_a_video_with_nothing_to_show_is_not_the_first_to_open(visit: Visit) -> None:
    report = three_videos(overview=OVERVIEW)
    index = replace(
        report.index,
        videos=(VideoRow("0 quiet"), *report.index.videos),
        detections=found_of([[], *DETECTIONS.values()]),
    )
    page = visit(ReportData(index, lambda: iter([Block(), *report.blocks()])))
    assert next(iter(list_counts(page))) == "0 quiet"
    assert page.locator("#video-name").inner_text() == "a"


def test_a_click_on_the_timeline_goes_there_in_the_video_and_on_the_clock(visit: Visit) -> None:
    page = visit()
    playable(page)
    page.mouse.click(*point(page, 0, 3.0))
    until(page, "Math.abs(document.getElementById('media').currentTime - 3) < 0.05")
    assert time_of(page) == pytest.approx(3, abs=0.1)
    # The line is where the time is.
    line = page.locator("#playhead").bounding_box()
    assert line is not None
    assert line["x"] + 1 == pytest.approx(point(page, 0, 3.0)[0], abs=2)


def test_a_link_opens_a_video_at_a_time_and_back_goes_back(visit: Visit) -> None:
    page = visit(address="#v=a&t=2.5")
    playable(page)
    assert time_of(page) == 2.5
    page.get_by_role("link", name="b 2 detections").click()
    assert page.locator("#video-name").inner_text() == "b"
    page.go_back()
    until(page, "document.getElementById('video-name').textContent === 'a'")
    until(page, "document.getElementById('media').currentTime === 2.5")
    assert page.locator("#moment").get_attribute("href") == "#v=a&t=2.5"


def test_a_link_to_a_video_that_is_not_there_is_answered(visit: Visit) -> None:
    page = visit(address="#v=nobody%zz")
    assert "There is no video" in page.locator("#say-text").inner_text()
    assert page.locator("#video-name").inner_text() == "a"


def test_without_a_video_the_timeline_plays_by_its_own_clock(visit: Visit) -> None:
    page = visit(address="#v=b")
    assert "no file to play here" in page.locator("#missing-text").inner_text()
    page.keyboard.press("Space")
    until(page, "document.getElementById('now').textContent > '0:00.3'")
    page.keyboard.press("Space")
    stopped = time_of(page)
    page.keyboard.press("ArrowRight")
    assert time_of(page) == pytest.approx(stopped + 1, abs=0.11)


def test_a_video_that_cannot_be_played_says_the_cure_and_a_chosen_file_plays(
    visit: Visit, video: Path
) -> None:
    rows = (VideoRow("a", None, 6.0, "lost%20folder/a%201.mp4", None, None),)
    report = three_videos(videos=rows, detections=found_of([DETECTIONS["a"]]))
    page = visit(replace(report, blocks=lambda: iter([Block()])), allow="ERR_FILE_NOT_FOUND")
    text = page.locator("#missing-text")
    text.wait_for(state="visible")
    assert "“a 1.mp4” cannot be played" in text.inner_text()
    assert "choose the file by hand" in text.inner_text()
    page.keyboard.press("ArrowRight")
    page.locator("#choose-file").set_input_files(str(video))
    playable(page)
    assert not text.is_visible()
    assert time_of(page) == 1.0
    assert page.locator("#media").evaluate("video => video.src.startsWith('blob:')")


def test_an_empty_report_says_so_kindly(visit: Visit) -> None:
    report = three_videos(videos=(), detections=found_of([]), classes=())
    page = visit(ReportData(report.index, lambda: iter(())))
    assert "no videos yet" in page.locator("#empty-text").inner_text()
    assert not page.locator("#tab-overview").is_visible()
    page.keyboard.press("n")
    page.keyboard.press("e")


def test_a_video_without_detections_says_so(visit: Visit) -> None:
    page = visit(address="#v=c")
    assert "Nothing was found" in page.locator("#no-segments").inner_text()


# What is shown -----------------------------------------------------------------------------------


def test_the_slider_shows_as_many_segments_as_reach_it(visit: Visit) -> None:
    page = visit()
    for threshold in (0.3, 0.5, 0.55, 1.0, 0.0):
        set_threshold(page, threshold)
        expected = counts_at(threshold)
        assert list_counts(page) == expected
        assert len(table(page)) == expected["a"]
        assert page.locator("#shown b").inner_text() == str(sum(expected.values()))
        said = page.locator("#segments-count").inner_text()
        assert said == ("4 detections" if threshold == 0 else f"{expected['a']} of 4 detections")


def test_the_slider_starts_where_the_report_says(visit: Visit) -> None:
    page = visit(three_videos(threshold=0.4321))
    assert page.locator("#threshold-number").input_value() == "0.4321"
    assert list_counts(page) == counts_at(0.4321)


def test_a_class_can_be_hidden_everywhere(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Clapping").first.click()
    settle(page)
    assert list_counts(page) == {"a": 1, "b": 2, "c": 0}
    assert table(page) == ["Cough 0:02.5 0:03.5 0.50"]
    assert page.locator('.row.class[data-c="0"]').count() == 0
    assert page.locator("#classes-on").inner_text() == "2 of 3"


def test_search_finds_names_and_labels(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("/")
    until(page, "document.activeElement.id === 'search'")
    page.keyboard.type("sneeze")
    assert list(list_counts(page)) == ["b"]  # its tag; in `a` it lies below the threshold
    set_threshold(page, 0.01)
    assert list(list_counts(page)) == ["a", "b"]
    page.locator("#search").fill("C")
    assert list(list_counts(page)) == ["a", "b", "c"]  # Clapping, Cough, and the name c
    page.locator("#search").fill("nothing like it")
    assert page.locator("#listed").inner_text() == "0 of 3 videos"
    page.get_by_role("button", name="Show all videos").click()
    assert len(list_counts(page)) == 3


def test_videos_are_sorted_both_ways_and_ties_by_name(visit: Visit) -> None:
    rows = [
        VideoRow(v, duration_s=s, tags=(2,)) for v, s in (("x10", 5.0), ("x9", 7.0), ("y", 7.0))
    ]
    columns = [DETECTIONS["b"], DETECTIONS["a"], []]
    report = three_videos(videos=tuple(rows), detections=found_of(columns))
    page = visit(report)
    set_threshold(page, 0.0)
    orders = {
        "name": ["x9", "x10", "y"],  # as people count
        "duration": ["x9", "y", "x10"],
        "count": ["x9", "x10", "y"],
        "score": ["x9", "x10", "y"],
        # x9: Clapping and Cough, no tags; x10: Cough, and Sneeze not found; y: Sneeze not found.
        "disagreement": ["x9", "x10", "y"],
    }
    for sort, order in orders.items():
        page.locator("#sort").select_option(sort)
        assert list(list_counts(page)) == order
    page.get_by_role("button", name="Reverse the order").click()
    assert list(list_counts(page)) == ["y", "x9", "x10"]  # equal ones stay by name
    page.locator("#sort").select_option("duration")
    assert list(list_counts(page)) == ["x10", "x9", "y"]


def test_above_the_list_stands_how_many_are_sure_and_how_to_see_more(visit: Visit) -> None:
    page = visit(three_videos(sure=0.6))
    said = "2 of 6 detections are sure (confidence at least 0.60)."
    assert page.locator("#sure").inner_text() == f"{said} Lower the threshold to see more."
    set_threshold(page, 0.0)
    assert page.locator("#sure").inner_text() == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "None of 6 detections is sure. Lower the threshold to see more."),
        ({"sure": 0.05}, ""),  # all are
        ({"measure": "score"}, ""),  # nobody knows
    ],
)
def test_the_sentence_about_the_sure_fits_what_is_known(
    visit: Visit, changes: dict[str, Any], said: str
) -> None:
    page = visit(three_videos(**changes))
    assert page.locator("#sure").is_visible() == bool(said)
    assert page.locator("#sure").inner_text() == said


def test_disagreement_with_tags_follows_the_threshold(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Only where tags disagree").check()
    assert list(list_counts(page)) == ["b"]
    set_threshold(page, 0.02)  # now a Sneeze is found in `a`, whose tags have none
    assert list(list_counts(page)) == ["a", "b"]
    assert off_of(page) == ["1 class without a tag", "1 class without a tag, 1 tag not found"]
    assert page.locator("#facts .off").inner_text() == "No tag: Sneeze"


def test_a_subset_can_be_chosen(visit: Visit) -> None:
    page = visit()
    page.locator("#subset").select_option("validation")
    assert list(list_counts(page)) == ["b"]


# Keys --------------------------------------------------------------------------------------------


def test_arrows_move_by_a_second_and_with_shift_by_a_frame(visit: Visit) -> None:
    page = visit(address="#v=b&t=2")
    page.keyboard.press("ArrowRight")
    assert time_of(page) == 3.0
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert time_of(page) == 1.0
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    assert time_of(page) == 1.2
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert time_of(page) == 0.0


def test_n_and_p_walk_through_the_segments_and_j_and_k_through_the_videos(visit: Visit) -> None:
    page = visit()
    playable(page)
    for key, seconds in [("n", 1.0), ("n", 2.5), ("ArrowDown", 4.0), ("n", 4.0), ("p", 2.5)]:
        page.keyboard.press(key)
        assert time_of(page) == seconds
    assert page.locator("#segments tr.chosen").inner_text().startswith("Cough")
    page.keyboard.press("j")
    until(page, "document.getElementById('video-name').textContent === 'b'")
    page.keyboard.press("k")
    until(page, "document.getElementById('video-name').textContent === 'a'")


def test_a_selected_segment_loops_while_the_loop_is_on(visit: Visit) -> None:
    page = visit(address="#v=b")
    page.locator("#speed").select_option("4")
    page.locator("#video-name").click()
    page.keyboard.press("n")
    page.keyboard.press("l")
    page.keyboard.press("Space")
    # 1 s of video, four times as fast: it passes its end at least twice in 0.8 s, never beyond.
    times = page.evaluate(
        "new Promise(done => { const seen = []; const end = performance.now() + 800;"
        "const look = () => { seen.push(document.getElementById('now').textContent);"
        "performance.now() < end ? requestAnimationFrame(look) : done(seen); }; look(); })"
    )
    seconds = [float(text[2:]) for text in times]
    assert max(seconds) <= 1.6
    assert min(seconds) >= 0.5
    assert any(after < before for before, after in itertools.pairwise(seconds))
    page.keyboard.press("l")
    until(page, "document.getElementById('now').textContent > '0:01.8'")


def test_help_lists_the_keys_and_gives_the_focus_back(visit: Visit) -> None:
    page = visit()
    button = page.get_by_role("button", name="Help: keys and controls")
    button.focus()
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys and controls").is_visible()
    assert page.locator("#keys tr").count() > 15
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert page.evaluate("document.activeElement.id") == "help-open"


def test_letters_typed_into_a_field_are_no_keys(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("n")
    page.locator("#search").fill("")
    page.keyboard.type("area")
    assert page.locator("#unsaved").inner_text() == ""
    assert page.locator("#search").input_value() == "area"


# Timeline ----------------------------------------------------------------------------------------


def test_zooming_in_keeps_the_current_time_in_sight(visit: Visit) -> None:
    page = visit(address="#v=b&t=4.5")
    before = point(page, 1, 4.5)[0]
    for _ in range(3):
        page.keyboard.press("+")
    settle(page)
    line = page.locator("#playhead").bounding_box()
    assert line is not None
    assert line["x"] + 1 == pytest.approx(before, abs=2)
    # An eighth of the video fills the row: a small step is a long way.
    page.keyboard.press("Shift+ArrowRight")
    row = page.locator('.row.class[data-c="1"] canvas').bounding_box()
    assert row is not None
    settle(page)
    moved = page.locator("#playhead").bounding_box()
    assert moved is not None
    assert moved["x"] - line["x"] == pytest.approx(0.04 / (6 / 8) * row["width"], abs=2)


def test_a_click_on_a_segment_selects_it_and_one_beside_it_selects_nothing(visit: Visit) -> None:
    page = visit()
    page.mouse.click(*point(page, 1, 3.0))
    settle(page)
    assert page.locator("#edit-name").inner_text() == "Cough 0.50"
    assert time_of(page) == 2.5
    page.mouse.click(*point(page, 1, 5.0))
    settle(page)
    assert page.locator("#edit-hint").is_visible()


def test_rows_show_curves_truth_and_tags(visit: Visit) -> None:
    page = visit()
    assert page.locator(".row.attention").count() == 1
    names = page.locator(".row.class .name").all_inner_texts()
    assert [re.sub(r"\s+", " ", name) for name in names] == [
        "Clapping tag · video 0.90",
        "Cough tag",
    ]
    assert page.locator("#legend").inner_text().split() == ["score", "detection", "annotated"]
    page.get_by_role("button", name="Show 1 more class").click()
    assert page.locator(".row.class").count() == 3
    drawn = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.some(value => value)"
    )
    assert all(page.locator(f'.row.class[data-c="{c}"] canvas').evaluate(drawn) for c in range(2))
    page.get_by_text("Annotated segments").click()
    assert page.locator("#truth button").all_inner_texts() == [
        f"Clapping 0:01.0 {DASH} 0:02.0",
        f"Cough 0:02.5 {DASH} 0:03.0",
    ]


def test_a_drag_on_the_ruler_scrubs(visit: Visit) -> None:
    page = visit(address="#v=b")
    drag_from = point(page, 1, 1.0)
    ruler = page.locator("#ruler").bounding_box()
    assert ruler is not None
    page.mouse.move(drag_from[0], ruler["y"] + 8)
    page.mouse.down()
    page.mouse.move(point(page, 1, 5.0)[0], ruler["y"] + 8)
    assert time_of(page) == pytest.approx(5.0, abs=0.1)
    page.mouse.up()
    assert page.locator("#ruler").get_attribute("aria-valuetext") == "0:05.0 of 0:06.0"


# Overview ----------------------------------------------------------------------------------------


def test_the_overview_shows_what_is_known(visit: Visit) -> None:
    page = visit(three_videos(overview=OVERVIEW), "#overview")
    text = page.locator("#charts").inner_text()
    for words in [
        "61.2",
        "44.4",
        f"mean 0.1{DASH}0.7",
        "Clapping",
        "Background",
        "A note.",
        "5.7 min",
    ]:
        assert words in text
    assert page.locator("#tab-overview").get_attribute("aria-current") == "page"
    best = page.locator("#charts td.ours").all_inner_texts()
    assert best == ["44.4", "61.2", "40.0"]
    page.get_by_role("link", name="b", exact=True).click()  # its note leads to it
    assert page.locator("#video-name").inner_text() == "b"


def test_without_an_overview_there_is_no_tab(visit: Visit) -> None:
    page = visit(address="#overview")
    assert not page.locator("#tab-overview").is_visible()
    assert page.locator("#video-name").inner_text() == "a"


# Looks -------------------------------------------------------------------------------------------


def test_nothing_is_wider_than_a_phone(visit: Visit) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = visit(three_videos(overview=OVERVIEW), **phone)
    for view in ("#videos", "#v=b", "#v=a&t=1", "#overview"):
        page.evaluate(f"location.hash = '{view}'")
        settle(page)
        if view.startswith("#v="):
            page.keyboard.press("n")
            settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("main").evaluate("main => main.scrollWidth <= main.clientWidth")
        # No control sticks out of the screen.
        outside = page.evaluate(
            "[...document.querySelectorAll('button, input, select, h2, video')].filter(e =>"
            " e.offsetParent && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.id)"
        )
        assert outside == []
        assert page.locator("#list").is_visible() == (view == "#videos")


def test_a_long_class_name_stands_beside_its_mark_on_a_phone(visit: Visit) -> None:
    names = ("BasketballDunkContest", "Playing the violin in a very large orchestra")
    per_class = tuple(ClassResult(name, 0.5, 83, 270) for name in names)
    overview = replace(OVERVIEW, per_class=per_class)
    page = visit(
        three_videos(overview=overview), "#overview", viewport={"width": 390, "height": 844}
    )
    beside = """th => {
      const name = document.createRange();
      name.selectNodeContents(document.createTreeWalker(th, NodeFilter.SHOW_TEXT).nextNode());
      const [first] = name.getClientRects();
      const mark = th.querySelector(".swatch").getBoundingClientRect();
      return mark.right <= first.left && mark.top >= first.top && mark.top < first.bottom;
    }"""
    rows = page.locator("tbody th").filter(has=page.locator(".swatch"))
    assert [row.evaluate(beside) for row in rows.all()] == [True, True]


def test_nothing_of_a_line_of_the_list_is_cut_off(visit: Visit) -> None:
    # At its longest: hours, many corrections, a note, and both kinds of disagreement.
    rows = (VideoRow("long", duration_s=36000.0, tags=(0, 1, 2), note="A note."),)
    classes = tuple(f"class {c}" for c in range(20))
    found = found_of([[(c, 1.0, 2.0, 0.9) for c in range(3, 15)]])
    report = three_videos(videos=rows, detections=found, classes=classes)
    line = {"label": "class 3", "segment": [1.0, 2.0], "verdict": "rejected"}
    lines = [line | {"segment": [1.0, 2.0 + i]} for i in range(15)]
    corrections = {
        "format": "wtal corrections 1",
        "videos": {"long": {"complete": False, "segments": lines}},
    }
    page = visit(ReportData(report.index, lambda: iter([Block()])), corrections=corrections)
    assert page.locator("#list .more").all_inner_texts() == [
        "10:00:00 · best 0.90 · 15 corrections · note",
        "12 classes without a tag, 3 tags not found",
    ]
    for line_of in page.locator("#list .more").all():
        assert line_of.evaluate("line => line.scrollWidth <= line.clientWidth")
    inside = "row => row.querySelector('a').scrollHeight <= row.clientHeight"
    assert page.locator("#list li").evaluate(inside)


def test_a_finger_selects_and_two_fingers_zoom(visit: Visit) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.evaluate("location.hash = '#v=a'")
    settle(page)
    page.touchscreen.tap(*point(page, 1, 3.0))
    settle(page)
    assert page.locator("#edit-name").inner_text() == "Cough 0.50"
    touch = page.context.new_cdp_session(page)
    y = point(page, 1, 3.0)[1]
    for kind, spread in (("touchStart", 10), ("touchMove", 20), ("touchMove", 40)):
        fingers = [{"x": 195 + side * spread, "y": y, "id": side} for side in (-1, 1)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    settle(page)
    # A quarter of the video is shown: 1/25 s is four times as far as before.
    a = page.locator("#playhead").bounding_box()
    page.keyboard.press("Shift+ArrowRight")
    settle(page)
    b = page.locator("#playhead").bounding_box()
    assert a is not None
    assert b is not None
    assert b["x"] - a["x"] == pytest.approx(0.04 / 1.5 * 364, rel=0.2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_systems_until_the_button_is_pressed(visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    shades = {"light": "rgb(246, 246, 244)", "dark": "rgb(19, 21, 23)"}
    other = "dark" if scheme == "light" else "light"
    assert page.evaluate(ground) == shades[scheme]
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(ground) == shades[other]
    page.reload()
    assert page.evaluate(ground) == shades[other]


# Safety ------------------------------------------------------------------------------------------


def test_markup_in_names_and_labels_stays_text(visit: Visit) -> None:
    evil = "<script>document.title='gone'</script>\"><img src=x onerror=document.title='gone'>"
    rows = (VideoRow(evil, evil, 6.0, None, (0,), None, evil),)
    report = three_videos(
        title=evil,
        source=evil,
        about=((evil, evil),),
        classes=(evil, "</script><!--", "\u2028"),
        videos=rows,
        detections=found_of([DETECTIONS["a"]]),
        overview=replace(OVERVIEW, costs=()),
    )
    page = visit(replace(report, blocks=lambda: iter([Block(((0, 1.0, 2.0),))])))
    assert page.title() == f"{evil} {DASH} {evil}"
    assert page.locator("#video-name").inner_text() == evil
    assert page.locator("#list .title").inner_text() == evil
    assert table(page)[0].startswith(evil)
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="About").click()
    assert evil in page.locator("#about-list").inner_text()


def test_an_address_that_leads_away_is_not_opened(visit: Visit) -> None:
    # Python refuses to write it; here the page itself meets it, in a file that was tampered with.
    page = visit()
    path = Path(url2pathname(urlparse(page.url).path))
    for address in ("https://example.org/a.mp4", "//example.org/a.mp4", "javascript:alert(1)"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r'"media":\["[^"]*"', f'"media":["{address}"', text), "utf-8")
        page.reload()
        assert "leads away from this page" in page.locator("#missing-text").inner_text()


def test_no_script_but_the_pages_own_runs(visit: Visit) -> None:
    page = visit(allow="Trusted")
    blocked = page.evaluate(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'set'; }"
        " catch (error) { return error.name; } })()"
    )
    assert blocked == "TypeError"


def test_every_control_has_a_name(visit: Visit) -> None:
    page = visit(three_videos(overview=OVERVIEW))
    page.keyboard.press("n")
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a, summary')].filter(e => !("
        "e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby')"
        " || e.labels?.length || e.hidden)).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.locator("main, header.top, nav").count() == 3


def test_a_drag_on_a_row_draws_only_when_asked_to(visit: Visit) -> None:
    page = visit()
    drag(page, 1, 4.0, 5.0)
    assert page.locator("#unsaved").inner_text() == ""
    page.get_by_role("button", name="Draw").click()
    drag(page, 1, 4.0, 5.0)
    assert page.locator("#unsaved").inner_text() == "1 unsaved"

"""Corrections on the page: made by hand and by key, undone, saved, read back, kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.driving import drag, load, point, saved, set_threshold, settle, table, time_of

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

    from tests.browser.conftest import Visit


def unsaved(page: Page) -> str:
    settle(page)
    return page.locator("#unsaved").inner_text()


def file_of(**videos: Any) -> dict[str, Any]:
    return {"format": "wtal corrections 1", "videos": videos}


def line(label: str, start: float, end: float, verdict: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "verdict": verdict, **more}


EVERY = file_of(
    a={
        "complete": True,
        "segments": [
            line("Clapping", 1, 2, "accepted"),
            line("Cough", 2.5, 3.5, "rejected"),
            line("Clapping", 4.5, 5.5, "edited", was=[4, 5.5]),
            line("Juggling", 0.2, 0.8, "added"),
        ],
    },
    elsewhere={"complete": False, "segments": [line("Cough", 1, 2, "rejected")]},
)


def test_the_file_holds_what_was_done_by_key(visit: Visit) -> None:
    page = visit()
    for keys in ("na", "nr"):  # the first is right, the second is not
        for key in keys:
            page.keyboard.press(key)
    page.keyboard.press("n")  # 4.0 to 5.5
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("[")
    page.keyboard.press("Escape")
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("e")
    page.keyboard.press("c")
    assert unsaved(page) == "5 unsaved"
    file = saved(page)
    assert file == file_of(
        a={
            "complete": True,
            "segments": [
                line("Clapping", 1, 2, "accepted"),
                line("Cough", 2.5, 3.5, "rejected"),
                line("Clapping", 4.04, 5.5, "edited", was=[4, 5.5]),
                line("Clapping", 2.04, 4.04, "added"),
            ],
        }
    )
    assert unsaved(page) == "All saved"
    assert "5 corrections in 1 video" in page.locator("#say-text").inner_text()


def test_a_dragged_edge_is_an_edit_and_back_at_its_place_it_is_accepted(visit: Visit) -> None:
    page = visit()
    drag(page, 0, 5.5, 5.0)
    [edited] = saved(page)["videos"]["a"]["segments"]
    assert edited["verdict"] == "edited"
    assert edited["was"] == [4, 5.5]
    assert edited["segment"] == pytest.approx([4, 5], abs=0.05)
    # The player shows the frame at the edge.
    assert time_of(page) == pytest.approx(5.0, abs=0.1)
    page.locator("#edit-end").fill("5.5")
    page.locator("#edit-end").press("Enter")
    [accepted] = saved(page)["videos"]["a"]["segments"]
    assert accepted == line("Clapping", 4, 5.5, "accepted")


def test_a_segment_is_drawn_and_gets_any_class_and_a_new_one(visit: Visit) -> None:
    page = visit()
    page.keyboard.down("Shift")
    drag(page, 1, 4.0, 5.0)
    page.keyboard.up("Shift")
    [added] = saved(page)["videos"]["a"]["segments"]
    assert (added["label"], added["verdict"]) == ("Cough", "added")
    assert added["segment"] == pytest.approx([4, 5], abs=0.05)
    page.get_by_label("Class of the segment").select_option(label="Sneeze")
    assert saved(page)["videos"]["a"]["segments"][0]["label"] == "Sneeze"
    page.get_by_label("Class of the segment").select_option(label="New class…")
    page.get_by_label("Name of the class").fill(" Juggling ")
    page.get_by_role("button", name="Use it").click()
    assert saved(page)["videos"]["a"]["segments"][0]["label"] == "Juggling"
    assert "Juggling" in page.locator(".row.class .name").all_inner_texts()[-1]
    page.get_by_role("button", name="Remove", exact=True).click()
    assert saved(page)["videos"] == {}


def test_the_buttons_of_the_table_judge_and_keep_the_focus(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Reject Cough at 0:02.5").focus()
    page.keyboard.press("Enter")
    assert unsaved(page) == "1 unsaved"
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.locator("#segments tr.rejected").count() == 1
    page.keyboard.press("Enter")
    assert unsaved(page) == ""


def test_undo_takes_back_one_step_after_the_other(visit: Visit) -> None:
    page = visit()
    for key in ("n", "a", "r", "c", "e"):
        page.keyboard.press(key)
    states = []
    for _ in range(5):
        states.append(unsaved(page))
        page.keyboard.press("u")
    assert states == ["3 unsaved", "2 unsaved", "1 unsaved", "1 unsaved", ""]
    assert page.locator("#undo").is_disabled()
    assert len(table(page)) == 3


def test_a_correction_is_shown_below_the_threshold_too_but_not_counted(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("n")
    page.keyboard.press("a")
    set_threshold(page, 0.95)
    assert table(page) == ["Clapping 0:01.0 0:02.0 0.90"]
    assert page.locator("#segments-count").inner_text() == "0 of 4 detections"


def test_a_class_that_corrections_give_counts_as_a_tag(visit: Visit) -> None:
    page = visit(address="#v=b")  # its tag is Sneeze, found are two of Cough
    off, tags = page.locator("#facts .off"), page.locator("#facts span").nth(1)
    assert off.inner_text() == "Not found: Sneeze. No tag: Cough"
    page.keyboard.press("n")
    page.keyboard.press("r")  # what is rejected gives nothing
    assert tags.inner_text() == "Tags: Sneeze"
    page.keyboard.press("a")
    assert tags.inner_text() == "Tags: Sneeze, Cough"
    assert off.inner_text() == "Not found: Sneeze"
    settle(page)
    assert "1 tag not found" in page.locator("#list li").nth(1).inner_text()
    assert page.locator('.row.class[data-c="1"] .name').inner_text().split() == ["Cough", "tag"]
    # Once it is completely reviewed, it has what was accepted and added, and nothing disagrees.
    page.get_by_label("Completely reviewed").check()
    assert tags.inner_text() == "Tags: Cough"
    assert off.count() == 0
    page.get_by_label("Only where tags disagree").check()
    assert page.locator("#list li").count() == 0
    for _ in range(3):
        page.keyboard.press("u")
    settle(page)
    assert tags.inner_text() == "Tags: Sneeze"
    assert page.locator("#list li").count() == 1


def test_a_tag_of_which_only_a_person_found_something_is_settled(visit: Visit) -> None:
    added = file_of(b={"complete": False, "segments": [line("Sneeze", 4, 5, "added")]})
    page = visit(address="#v=b", corrections=added)
    assert page.locator("#facts .off").inner_text() == "No tag: Cough"


def test_what_was_saved_is_read_back_line_by_line(visit: Visit) -> None:
    page = visit()
    said = load(page, json.dumps(EVERY))
    assert "2 videos read" in said
    assert "1 video is not in this report (elsewhere)" in said
    assert unsaved(page) == "All saved"
    assert table(page) == [
        "Juggling 0:00.2 0:00.8 added",
        "Clapping 0:01.0 0:02.0 0.90",
        "Cough 0:02.5 0:03.5 0.50",
        "Clapping 0:04.5 0:05.5 edited",
    ]
    assert page.locator("#complete").is_checked()
    assert saved(page) == EVERY
    # Reading it twice changes nothing, and all of it can be undone.
    load(page, json.dumps(EVERY))
    assert saved(page) == EVERY
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert len(table(page)) == 3


def test_corrections_in_the_report_are_there_from_the_start_and_count_as_saved(
    visit: Visit,
) -> None:
    page = visit(corrections=EVERY)
    assert unsaved(page) == "All saved"
    assert len(table(page)) == 4
    assert saved(page) == EVERY


SEGMENT = line("Cough", 1, 2, "accepted")


@pytest.mark.slow  # fifteen files, one visit
def test_a_wrong_file_is_refused_with_its_fault_and_changes_nothing(visit: Visit) -> None:
    page = visit()
    video = {"complete": False, "segments": [SEGMENT]}
    wrong = {
        "no JSON": "{",
        'expected "format": "wtal corrections 1"': json.dumps({"version": 1}),
        'the file has the unknown key "more"': json.dumps(file_of(a=video) | {"more": 1}),
        '"videos" is no object': json.dumps({"format": "wtal corrections 1", "videos": []}),
        'video "a" has the unknown key "x"': json.dumps(file_of(a=video | {"x": 1})),
        '"complete" is neither true nor false': json.dumps(file_of(a=video | {"complete": 1})),
        '"segments" is no list': json.dumps(file_of(a=video | {"segments": {}})),
        "segment 1 is no object": json.dumps(file_of(a=video | {"segments": [1]})),
    }
    faults = {
        'the unknown key "score"': SEGMENT | {"score": 1},
        "has no label": SEGMENT | {"label": ""},
        "has no verdict of accepted": SEGMENT | {"verdict": "good"},
        "no [start, end] in seconds": SEGMENT | {"segment": [2, 1]},
        '"was" belongs to edited segments': SEGMENT | {"was": [1, 2]},
        '"was" is no [start, end]': SEGMENT | {"verdict": "edited", "was": [1, "2"]},
        'the label "Yawn"': SEGMENT | {"label": "Yawn"},
    }
    wrong |= {
        words: json.dumps(file_of(a={"complete": False, "segments": [fault]}))
        for words, fault in faults.items()
    }
    for words, text in wrong.items():
        said = load(page, text, "wrong.json")
        assert said.startswith("wrong.json was not read:")
        assert words in said
        assert said.endswith("Nothing was changed.")
        assert page.locator("#undo").is_disabled()
        page.get_by_role("button", name="Close the message").click()


def test_a_closed_tab_loses_nothing_and_warns_before(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("n")
    page.keyboard.press("r")
    page.mouse.click(*point(page, 0, 3.3))  # browsers ask only after a person did something
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.reload()
    assert asked == ["beforeunload"]
    assert unsaved(page) == "1 unsaved"
    assert page.locator("#segments tr.rejected").count() == 1
    saved(page)
    page.reload()
    assert len(asked) == 1
    assert unsaved(page) == "All saved"


def test_a_browser_that_keeps_nothing_is_named(visit: Visit) -> None:
    page = visit()
    page.evaluate(
        "(() => { Storage.prototype.setItem = () => { throw new DOMException('full'); }; })()"
    )
    page.keyboard.press("c")
    assert "save your corrections" in page.locator("#say-text").inner_text()
    assert unsaved(page) == "1 unsaved"


def test_names_that_objects_have_already_are_names(visit: Visit) -> None:
    page = visit()
    video = '{"__proto__": {"complete": true, "segments": []}}'
    text = f'{{"format": "wtal corrections 1", "videos": {video}}}'
    load(page, text)
    assert saved(page) == json.loads(text)

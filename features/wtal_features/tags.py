"""Tags: which actions happen in a video, without saying when."""

import csv
import difflib
import io
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

from wtal_features.errors import FeatureError, counted
from wtal_features.files import SEPARATORS, atomic_write, check_name, csv_rows, read_text

_COLUMNS = ("video", "label", "labels", "subset", "confidence")
# A spreadsheet runs a cell that starts with one of these as a formula. Quotes before them are
# counted too, so that a label which really starts with '= keeps its own quote.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class Tags:
    """The tags of a data set.

    Attributes:
        labels: Video -> its labels, each once, sorted; empty for a background-only video.
        subsets: Video -> the part of the data set it belongs to; only where one was said.
        notes: What was merged while reading, for the user.
        confidences: (video, label) -> how sure a suggestion is, 0 to 1; a pair that is not here
            was given by a person. Training takes both alike.
    """

    labels: Mapping[str, tuple[str, ...]]
    subsets: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    confidences: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids, sorted."""
        return tuple(sorted(self.labels))

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label once, sorted."""
        return tuple(sorted({label for labels in self.labels.values() for label in labels}))

    def of_subset(self, subset: str) -> "Tags":
        """The videos of one subset.

        Raises:
            FeatureError: If no video belongs to it, naming the subsets there are.
        """
        chosen = {v: labels for v, labels in self.labels.items() if self.subsets.get(v) == subset}
        if not chosen:
            raise FeatureError(
                f"No video has the subset {subset!r}; "
                f"the tags have {sorted(set(self.subsets.values())) or 'none'}.",
                "Check the name of the subset.",
                code="subset",
            )
        confidences = {pair: c for pair, c in self.confidences.items() if pair[0] in chosen}
        return Tags(chosen, dict.fromkeys(chosen, subset), confidences=confidences)


def read_tags(path: str | Path) -> Tags:
    """Read tags from a CSV file.

    The header is `video,label` with one row per pair, or `video,labels` with `;` between the
    labels of a cell; a column `subset` may follow. An empty label says that nothing happens in
    the video. Names are brought to Unicode form NFC. Beside `label` there may be a column
    `confidence`, 0 to 1, as `wtal retrieve --suggest` writes it; an empty one says that a person
    gave the tag. Semicolons or tabs may stand between the cells in place of commas, as the header
    shows; a column without a name is left out if it is empty.

    Args:
        path: A CSV file, UTF-8 or UTF-16 with a byte order mark.

    Returns:
        The tags; pairs that came twice are merged and noted: the surer one stays.

    Raises:
        FeatureError: If the header is missing or has an unknown column, or a row has a wrong
            number of cells, a blank or forbidden video name, a label with control characters, a
            confidence outside 0 to 1, or a second subset for a video; with the number of the line.
    """
    text = read_text(path)
    separator = _separator(text)
    rows = csv_rows(text, path, separator)
    line, header = next(rows, (1, []))
    if header == ["sep=", ""]:  # a line for Excel, which `_separator` has heeded
        line, header = next(rows, (line, []))
    columns = _check_header(header, separator, f"{path} line {line}")
    labels: dict[str, dict[str, float]] = {}  # infinity: given by a person
    subsets: dict[str, str] = {}
    repeated = 0
    for line, row in rows:
        where = f"{path} line {line}"
        cells = _cells(columns, row, separator, where)
        video = _checked_video(cells["video"], where)
        _set_subset(subsets, video, cells.get("subset", ""), where)
        own, sure = labels.setdefault(video, {}), _confidence(cells.get("confidence", ""), where)
        for label in _labels_of(cells):
            repeated += label in own
            own[label] = max(sure, own.get(label, 0.0))
    return Tags(
        {video: tuple(sorted(own)) for video, own in labels.items()},
        subsets,
        _merged(path, repeated),
        {(v, label): c for v, own in labels.items() for label, c in own.items() if c <= 1},
    )


def _merged(path: str | Path, repeated: int) -> tuple[str, ...]:
    what = "pair of video and label was" if repeated == 1 else "pairs of video and label were"
    return (f"{path}: {repeated} repeated {what} merged.",) if repeated else ()


def _separator(text: str) -> str:
    """What stands between the cells: where the comma is the decimal sign, Excel writes semicolons.

    It is what makes the most known columns of the header; a comma where none makes any.
    """
    head = re.split("[\r\n]", text.lstrip(" \r\n,;\t"), maxsplit=1)[0]
    if said := re.match("sep=([,;\t])", head):
        return said[1]

    def known(separator: str) -> int:
        names = (cell.strip().strip('"').strip().lower() for cell in head.split(separator))
        return sum(name in _COLUMNS for name in names)

    return max(SEPARATORS, key=known)


def _check_header(header: list[str], separator: str, where: str) -> list[str]:
    """The columns, if they are `video`, one of `label` and `labels`, and perhaps others known.

    An empty name among them is that of a column that must be empty.
    """
    columns = [name.lower() for name in header]
    named = [name for name in columns if name]
    written = separator.join(header)[:80]
    expected = "expected the header video,label or video,labels, with or without subset"
    if "video" not in columns:
        slip = difflib.get_close_matches("video", columns, 1)
        # Without a header, the first line may well begin with a video called video_1.
        if slip and any(difflib.get_close_matches(name, _COLUMNS[1:3], 1) for name in columns):
            raise FeatureError(
                f"{where} has no column 'video', but {slip[0]!r}; {expected}.",
                "Correct the word.",
                code="tags",
            )
        raise FeatureError(
            f"{where} is no header: {written!r}; {expected}.",
            "Put a line such as video,label first; if this one is meant as such, rename the "
            "columns to video,label.",
            code="tags",
        )
    unknown = [name for name in named if name not in _COLUMNS]
    if unknown:
        nearest = difflib.get_close_matches(unknown[0], _COLUMNS, 1)
        raise FeatureError(
            f"{where} has an unknown column {unknown[0]!r}; {expected}.",
            f"Did you mean {nearest[0]!r}?" if nearest else "Remove the column.",
            code="tags",
        )
    if len(set(named)) < len(named) or ("label" in columns) == ("labels" in columns):
        raise FeatureError(f"{where} is {written!r}; {expected}.", code="tags")
    if "labels" in columns and "confidence" in columns:
        raise FeatureError(
            f"{where} has the columns labels and confidence; a confidence is that of one label.",
            "Write one row per pair, under the header video,label,confidence.",
            code="tags",
        )
    return columns


def _cells(columns: list[str], row: list[str], separator: str, where: str) -> dict[str, str]:
    """The cells of a row under their columns; what nobody named or sees in Excel is empty."""
    stray = [cell for name, cell in zip(columns, row, strict=False) if cell and not name]
    if stray:
        raise FeatureError(
            f"{where} has {stray[0][:80]!r} in a column without a name.",
            "Name the column in the first line, or empty it.",
            code="tags",
        )
    named = [name for name in columns if name]
    if len(row) <= columns.index(named[-1]) or any(row[len(columns) :]):
        raise FeatureError(
            f"{where} has {counted(len(row), 'cell')}; "
            f"expected {len(named)}: {separator.join(named)}.",
            "Give each label of a video a line of its own, and put cells that hold "
            f'{SEPARATORS[separator]} into "...".',
            code="tags",
        )
    found = zip(columns, row, strict=False)
    return {name: _plain(cell, where) for name, cell in found if name}


def _plain(cell: str, where: str) -> str:
    """A cell as it was meant: NFC, and without the quote that keeps a formula inert."""
    if any(unicodedata.category(character) == "Cc" for character in cell):
        raise FeatureError(
            f"{where} holds a control character in {cell[:80]!r}.", "Remove it.", code="tags"
        )
    text = cell[1:] if _QUOTED_FORMULA.match(cell) else cell
    return unicodedata.normalize("NFC", text)


def _checked_video(video: str, where: str) -> str:
    if not video:
        raise FeatureError(f"{where} names no video.", "Fill in or remove the row.", code="tags")
    try:
        check_name(video)
    except FeatureError as error:
        cure = error.cure
        if re.search(r"[/\\]", video):  # whoever wrote a path has no video to rename
            alone = video.replace("\\", "/").rpartition("/")[2]
            cure = f"Write the name of the file alone, {alone[:80]!r}."
        raise FeatureError(f"{where}: {error.problem}", cure, code=error.code) from error
    return video


def _set_subset(subsets: dict[str, str], video: str, subset: str, where: str) -> None:
    if subset and subsets.setdefault(video, subset) != subset:
        raise FeatureError(
            f"{where} puts {video!r} into {subset!r}; an earlier line said {subsets[video]!r}.",
            "A video belongs to one subset.",
            code="tags",
        )


def _labels_of(cells: Mapping[str, str]) -> list[str]:
    """The labels of one row; a blank one is no label."""
    cell = cells["labels"].split(";") if "labels" in cells else [cells["label"]]
    return [label.strip() for label in cell if label.strip()]


def _confidence(cell: str, where: str) -> float:
    """How sure a row is; infinity where the cell is empty, as it is for a tag of a person."""
    if not cell.strip():
        return math.inf
    try:
        value = float(cell.replace(",", "."))  # .75 is "0,75" where semicolons separate
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # NaN, too
        raise FeatureError(
            f"{where} has the confidence {cell[:80]!r}; expected a number from 0 to 1.",
            "Leave it empty for a tag that a person gave.",
            code="tags",
        )
    return value


def tags_text(tags: Tags) -> str:
    """Tags as the text of a CSV file, one row per pair.

    Cells that a spreadsheet would run (`=`, `+`, `-`, `@` first) get a quote in front, which
    `read_tags` takes away again.

    Args:
        tags: The column `subset` appears if any video has one, `confidence` likewise.

    Raises:
        FeatureError: If a video name is forbidden, or a label is blank, has outer spaces or
            control characters, or is not in NFC: it could not be read back.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shown = (True, True, bool(tags.subsets), bool(tags.confidences))
    writer.writerow(compress(("video", "label", "subset", "confidence"), shown))
    for video in tags.videos:
        check_name(video)
        subset = tags.subsets.get(video, "")
        check_text(subset, video, blank=True)
        for label in tags.labels[video]:
            check_text(label, video)
        for label in tags.labels[video] or ("",):
            confidence = tags.confidences.get((video, label))
            cells = (*map(inert, (video, label, subset)), "" if confidence is None else confidence)
            writer.writerow(compress(cells, shown))
    return text.getvalue()


def write_tags(path: str | Path, tags: Tags) -> None:
    """Write tags as CSV, atomically; see `tags_text`.

    Raises:
        FeatureError: As `tags_text`, and if the file cannot be written.
    """
    text = tags_text(tags)
    with atomic_write(path) as handle:
        handle.write(text.encode("utf-8"))


def check_text(text: str, video: str, *, blank: bool = False) -> None:
    """Refuse a label or subset that a tags file could not give back.

    Args:
        text: The label or subset.
        video: Whose it is, for the message.
        blank: Whether it may be empty.

    Raises:
        FeatureError: If it is empty, has outer spaces or control characters, or is not in NFC.
    """
    control = any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)
    plain = text == text.strip() and unicodedata.is_normalized("NFC", text)
    if control or not plain or (not text and not blank):
        raise FeatureError(
            f"{video!r} has the label or subset {text[:80]!r}; expected text in Unicode form NFC "
            "without outer spaces and control characters.",
            "Rename the label.",
            code="tags",
        )


def inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that it would run gets a quote in front.

    Example:
        >>> inert("-0r0HEwAYiQ"), inert("a-b")
        ("'-0r0HEwAYiQ", 'a-b')
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell

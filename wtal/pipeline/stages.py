"""All stages of `wtal run`, one after another; each does only what is new."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from wtal.errors import Stopped, WtalError
from wtal.pipeline import (
    calibrating,
    checking,
    exporting,
    extraction,
    learning,
    localizing,
    pretraining,
    reporting,
)
from wtal.pipeline.extraction import Extracted
from wtal.pipeline.ledger import Ledger
from wtal.pipeline.places import Places, made, refuse_other
from wtal.pipeline.planning import Plan, planning
from wtal.pipeline.result import RunResult
from wtal.pipeline.tagging import save, without
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal_features.errors import counted
from wtal_features.extraction.preview import duration
from wtal_features.files import lock

_NONE_SURE = (
    "Not one segment is sure: the exports have the best of each tag alone. The page shows all by "
    "their scores, and -o export.sure_only=false exports them."
)
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def run(
    words: Words,
    *,
    device: torch.device | str = "cpu",
    telling: Telling | None = None,
    preview: bool = False,
) -> RunResult | None:
    """Do all that is new since the last run in the same folder.

    Args:
        words: videos, tags and options.
        device: where to compute.
        telling: who is told what; None: nobody.
        preview: say what would be done and what it would take; nothing is written.

    Returns:
        Counts and files; None of a preview.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend. Ctrl-C and a full disk are
            among it: what is finished is kept, and the same call goes on.

    Example:
        `run(Words(Path("videos"), tags=Path("tags.csv"))).lines()`
    """
    places, where, telling = Places(words.folder), torch.device(device), telling or Telling()
    refuse_other(places.root, words.videos)
    with ExitStack() as held:
        held.enter_context(_goes_on(places.root))
        if places.root.exists() and not preview:
            held.enter_context(lock(places.root))
            locked = True
        else:
            locked = False
        ledger = Ledger(places.ledger)
        plan = planning(words, places, ledger, where, telling, preview=preview)
        if preview:
            return None
        if not locked:  # now that videos and tags have proved usable
            held.enter_context(lock(made(places.root)))
        places.sweep()
        ledger.touch()
        plan.footage.remember(places.headers)
        return _stages(words, plan, places, ledger, where, telling)


def _stages(
    words: Words,
    plan: Plan,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> RunResult:
    """From the plan to the page."""
    how = (places, ledger, device, telling)
    encoders = plan.encoders
    if words.pretrain is not None:
        encoders = pretraining.pretraining(words, plan.tagging, plan.grid, *how)
        telling.say(f"pretrain: {', '.join(encoders)}{_took(ledger, pretraining.STAGE)}")
    extracted = extraction.extraction(plan.footage, plan.asked(words, encoders), *how)
    telling.say(_extract_line(extracted, ledger))

    tagging = without(plan.tagging, extracted.skipped)
    save(places.tags, tagging.labels)
    checking.checking(words, plan.findings, tagging, extracted, places, ledger, telling)
    telling.say(checking.line(ledger))

    trained = learning.learning(words, tagging, extracted, *how)
    telling.say(f"train: {learning.line(ledger, trained)}{_took(ledger, 'train', trained)}")

    sure = calibrating.calibrating(words, tagging, extracted, *how)
    telling.say(f"calibrate: {sure}")
    asked = localizing.localizing(words, tagging, extracted, *how)
    telling.say(_counts_line("localize", len(extracted.videos), asked, ledger))

    out = exporting.exporting(words, plan.footage, tagging, places, ledger, telling)
    telling.say(f"export: {', '.join(out.formats)} ({_state(out.new)})")
    if out.found.threshold is not None and not out.found.sure:
        telling.warn(_NONE_SURE)
    figure, written = reporting.reporting(words, plan.footage, *how)
    telling.say(f"report: {_state(written)}{_took(ledger, reporting.STAGE, written)}")
    if not (extracted.new or trained or asked or out.new or written):
        telling.say("nothing is new: all is as the last run left it")
    return RunResult(
        out=places.root,
        videos=len(extracted.videos),
        extracted=extracted.new,
        trained=trained,
        localized=asked,
        found=out.found,
        formats=out.formats,
        figure=figure,
        report=places.report,
        skipped=extracted.skipped,
        faults=out.faults,
    )


def _extract_line(extracted: Extracted, ledger: Ledger) -> str:
    line = _counts_line("extract", len(extracted.videos), extracted.new, ledger)
    return f"{line}, {len(extracted.skipped)} skipped" if extracted.skipped else line


def _counts_line(stage: str, videos: int, new: int, ledger: Ledger) -> str:
    counts = f"{counted(videos, 'video')}, {new} new, {videos - new} unchanged"
    return f"{stage}: {counts}{_took(ledger, stage, new > 0)}"


def _state(new: bool) -> str:
    return "written" if new else "unchanged"


def _took(ledger: Ledger, stage: str, new: bool = True) -> str:
    """The time of a stage that had something to do."""
    record = ledger.record(stage)
    return f" ({duration(record.seconds)})" if new and record is not None else ""


@contextmanager
def _goes_on(root: Path) -> Iterator[None]:
    """Say what is kept where a run is stopped from outside."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"what is finished is kept in {root}; the same command goes on.") from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise WtalError(
            f"No space is left for {root}. What is finished is kept; free some, and the same "
            "command goes on."
        ) from error

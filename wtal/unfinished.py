"""`wtal doctor` on what is not finished: a store or a result that some shards have not done yet."""

from __future__ import annotations

from pathlib import Path

from wtal.doctor import Examination
from wtal.journal import is_finished, read_lines
from wtal.results import SKIPPED_FILE
from wtal.runs import DETECTIONS_FILE
from wtal.shards import Place
from wtal_features import FeatureError, Finding
from wtal_features.extraction.underway import under_way
from wtal_features.files import read_json
from wtal_features.jobs.underway import UnderWay
from wtal_features.shards import begun


def examine_unfinished(path: Path) -> Examination | None:
    """What is done, skipped and missing of an extraction or a localization.

    Args:
        path: a store, or a run folder.

    Returns:
        None of a store that is finished, and of anything else.

    Raises:
        FeatureError: one of our files is damaged.
    """
    if (path / "config.yaml").is_file():
        return _examine_run(path)
    found = under_way(path)
    return None if found is None else _examination(found)


def _examine_run(run: Path) -> Examination:
    """The localization of a run's videos: finished, under way, or not begun."""
    place = Place(run / DETECTIONS_FILE, run / SKIPPED_FILE)
    shards = begun(place.shards)
    if shards:
        found = UnderWay(place.whole, "detections")
        for shard in shards:
            journal = place.journal(shard)
            found.add(shard, finished=is_finished(journal))
            for line in read_lines(journal) if journal.exists() else ():
                if line.entry is None:
                    found.skipped[line.video] = line.fault
                else:
                    found.done.add(line.video)
        found.settle(_names(place))
        return _examination(found)
    if not place.whole.is_file():
        fault = Finding("no-detections", str(run), "It is not localized.", "Run wtal localize.")
        return Examination((fault,), ())
    skipped = _object(place.skipped)
    findings = [
        Finding("skipped", video, str(why), severity="warning") for video, why in skipped.items()
    ]
    return Examination(tuple(findings), (f"{place.whole} is finished: {len(skipped)} skipped",))


def _names(place: Place) -> list[str] | None:
    """All videos of the result, as its newest share was begun with."""
    files = sorted(place.shards.glob(".videos-*.json"), key=lambda path: path.stat().st_mtime_ns)
    names = _object(files[-1]).get("videos") if files else None
    return [str(name) for name in names] if isinstance(names, list) else None


def _object(path: Path) -> dict[str, object]:
    try:
        found = read_json(path) if path.exists() else {}
    except FeatureError:
        return {}
    return found if isinstance(found, dict) else {}


def _examination(found: UnderWay) -> Examination:
    return Examination(tuple(found.findings()), tuple(found.facts()))

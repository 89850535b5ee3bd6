"""Which videos show what corrections gained, and what that costs.

Where annotations give segments of videos outside of the training subset, the network of the run is
scored on those. Else a quarter of the corrected videos serves: a network for this purpose alone is
trained without the corrections of these (their tags stay), and scored by them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from wtal.config import Config
from wtal.corrections.file import Corrections
from wtal.data import select_subset
from wtal.inputs import Labels
from wtal.schedule import numpy_generator
from wtal_eval import Annotations
from wtal_features.errors import counted

WITHHELD = 4  # one of so many corrected videos is withheld


@dataclass(frozen=True)
class Plan:
    """What is compared on what.

    Args:
        videos: those that are scored.
        annotations: their segments; None where corrections are the only truth.
        withheld: corrections that score; None where annotations do.
        about: the videos in words.
    """

    videos: tuple[str, ...]
    annotations: Annotations | None
    withheld: Corrections | None
    about: str

    @property
    def cost(self) -> str:
        """What it takes, said before it begins."""
        more = 1 if self.withheld is None else 2
        how = "a second network" if more == 1 else "two more networks"
        return (
            f"To show what the corrections gain, {how} will be trained, which takes {more + 1} "
            f"times the time in all; --no-gain leaves that out. Scored: {self.about}."
        )


def plan_gain(
    config: Config, labels: Labels, corrections: Corrections, stored: Collection[str]
) -> Plan | str:
    """What can be compared; or why nothing can, in a sentence.

    Args:
        config: of the run.
        labels: as they were given.
        corrections: all of them.
        stored: videos that have features.
    """
    names, _ = select_subset(labels.subsets, config.data.train_subset, labels.source)
    annotations = labels.annotations
    if annotations is not None:
        with_segments = {annotations.videos[v] for v in set(annotations.video.tolist())}
        others = tuple(sorted(with_segments.intersection(stored) - set(names)))
        if others:
            many = counted(len(others), "annotated video")
            about = f"{many} outside of the training subset"
            return Plan(others, annotations, None, about)
    kept = corrections.only(frozenset(names))
    complete = sorted(n for n, video in kept.videos.items() if video.complete and n in stored)
    if len(complete) < 2 or len(kept.videos) < WITHHELD:
        return (
            "What the corrections gain cannot be shown: that takes annotated videos outside of "
            f"the training subset, or corrections of at least {WITHHELD} training videos, two of "
            "them complete."
        )
    order = numpy_generator(config.train.seed, "withheld").permutation(complete).tolist()
    videos = tuple(sorted(order[: max(1, min(len(kept.videos) // WITHHELD, len(complete) - 1))]))
    withheld = kept.only(frozenset(videos))
    verdicts = counted(withheld.count, "verdict")
    about = (
        f"{len(videos)} of the {len(kept.videos)} corrected videos, with {verdicts} that the "
        "network which is scored never saw"
    )
    return Plan(videos, None, withheld, about)

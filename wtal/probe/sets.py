"""Clips to learn from and clips to be tested on, and how far chance gets on them.

Legend: M clips of a set; G clips to be found, g of them of one class.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from wtal.errors import WtalError
from wtal.probe.words import Words
from wtal_features.errors import Finding
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.probing.clips import ClipList, LabelledClip, label_ids, usable
from wtal_features.probing.retrieval import KS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sets:
    """Clips to learn from and clips to be tested on.

    Attributes:
        train, test: Clips.
        train_labels, test_labels: (M,) int64 on the CPU, places among the classes.
        classes: Those of the training clips, sorted; then those of test clips alone.
        unknown: Those of test clips alone, and how many clips each has.
        faults: Video -> why its clips are left out.
    """

    train: tuple[LabelledClip, ...]
    test: tuple[LabelledClip, ...]
    train_labels: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    unknown: Mapping[str, int]
    faults: Mapping[str, str]

    def chance(self) -> float:
        """Top-1 of whoever always says the most frequent class of the training clips."""
        counts = torch.bincount(self.train_labels)
        return float((self.test_labels == counts.argmax()).double().mean())

    def chance_recalls(self) -> dict[int, float]:
        """R@k where the gallery is in random order.

        Of G clips, g of the query's class, k drawn: 1 - C(G - g, k) / C(G, k).
        """
        G = len(self.train)
        counts = torch.bincount(self.train_labels, minlength=len(self.classes)).tolist()
        found = {}
        for k in KS:
            hit = [1 - math.comb(G - g, min(k, G)) / math.comb(G, min(k, G)) for g in counts]
            found[k] = statistics.fmean(hit[label] for label in self.test_labels.tolist())
        return found


def sets_of(listed: ClipList, words: Words, store: ClipStore, skipped: Sequence[Finding]) -> Sets:
    """The clips of both subsets that the store has.

    Args:
        listed: All labelled clips.
        words: Name the subsets.
        store: Where videos are.
        skipped: Videos that could not be read into it.

    Raises:
        FeatureError, WtalError: If a subset is unknown, or too few of its clips are left.
    """
    chosen = subsets(listed, words)
    reasons = {finding.where: finding for finding in (*listed.faults, *skipped)}
    faults = {finding.where: _text(finding) for finding in listed.faults}
    parts = []
    for name, clips in chosen.items():
        good, bad = usable(clips, store)
        faults |= {f.where: _text(reasons.get(f.where, f)) for f in bad}
        if len(good) < (2 if name == words.train else 1):
            why = f" {next(iter(faults.values()))}" if bad else ""
            raise WtalError(
                f"{len(good)} of {len(clips)} clips of the subset {name!r} can be used; expected "
                f"more.{why}"
            )
        parts.append(tuple(good))
    train, test = parts
    known = {clip.label for clip in train}
    unknown = Counter(clip.label for clip in test if clip.label not in known)
    classes = (*sorted(known), *sorted(unknown))
    ids = (label_ids(train, classes), label_ids(test, classes))
    return Sets(train, test, *ids, classes, unknown, faults)


def subsets(listed: ClipList, words: Words) -> dict[str, tuple[LabelledClip, ...]]:
    """Name of the subset -> its clips: those to learn from, then those to be tested on.

    Args:
        listed: All labelled clips.
        words: Name the subsets.

    Raises:
        FeatureError, WtalError: If both are the same one, or one has no clip.
    """
    if words.train == words.test:
        raise WtalError(
            f"--train and --test are both {words.train!r}: every clip would find itself."
        )
    return {name: listed.of_subset(name) for name in (words.train, words.test)}


def _text(finding: Finding) -> str:
    return f"{finding.message} {finding.cure}".rstrip()

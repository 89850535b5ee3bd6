"""How often are tags right that a video gets from its neighbours, by which similarity?

    python benchmarks/tag_suggestions.py STORE --annotations A.json [--models tca-*.safetensors]

Test videos get tags from training videos: by raw, centred features, refined by context models
(several files are seeds: mean and standard deviation), and, as a reference, by scikit-learn's
KNeighborsClassifier on mean features, as they are and centred. How many neighbours vote is chosen
for each row on the training videos alone.

Shapes: V videos, N rows of all of them, C classes, k neighbours.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from wtal.bench.rows import machine_and_versions
from wtal.inputs import Labels, read_labels, videos_of
from wtal_features import FeatureStore, open_store
from wtal_features.files import write_json
from wtal_features.retrieval.context import load_context
from wtal_features.retrieval.search import Neighbours, nearest
from wtal_features.retrieval.similarity import KINDS, Described, Kind, described
from wtal_features.retrieval.suggestions import shares

NUMBERS = (1, 5, 10, 20)  # of neighbours, to choose from
FOLDS = 5
Floats = NDArray[np.float64]
Refine = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Side:
    """Videos of one subset: names, and (V, C) bool labels."""

    names: list[str]
    labels_VC: NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """Top-1: share of the videos whose surest tag is right. mAP: mean over classes."""

    neighbours: int
    top1: float
    mean_ap: float


def measured(confidence_VC: Floats, labels_VC: NDArray[np.bool_], k: int) -> Figures:
    """Figures of confidences; of equal ones the first class is the surest."""
    found = labels_VC.any(axis=0)
    score = average_precision_score(labels_VC[:, found], confidence_VC[:, found])
    return Figures(k, top1(confidence_VC, labels_VC), float(score))


def top1(confidence_VC: Floats, labels_VC: NDArray[np.bool_]) -> float:
    """Share of the videos whose surest label is one of theirs."""
    return float(labels_VC[np.arange(len(labels_VC)), confidence_VC.argmax(axis=1)].mean())


def chosen(score_of: Callable[[int], float], most: int) -> int:
    """The number of neighbours that does best on training videos; of equal ones the smallest."""
    return max((k for k in NUMBERS if k <= most), key=lambda k: (score_of(k), -k))


def by_neighbours(
    train: Side, test: Side, sides: tuple[Described, Described], kind: Kind
) -> Figures:
    """As `wtal retrieve --suggest`; the number is chosen by leaving one training video out."""
    ours, theirs = sides
    most = min(max(NUMBERS), len(train.names) - 1)
    alone = nearest(ours, ours, kind, most, exclude_self=True)
    near = nearest(theirs, ours, kind, most)
    labels_VC = torch.from_numpy(train.labels_VC)
    k = chosen(lambda k: top1(voted(alone, labels_VC, k), train.labels_VC), most)
    return measured(voted(near, labels_VC, k), test.labels_VC, k)


def voted(near: Neighbours, labels_VC: Tensor, k: int) -> Floats:
    """Confidences by the first k neighbours."""
    first = Neighbours(near.indices_Qk[:, :k], near.values_Qk[:, :k])
    confidence_VC: Floats = shares(first, labels_VC).numpy()
    return confidence_VC


def by_sklearn(train: Side, test: Side, x_VD: Floats, x_test_VD: Floats) -> Figures:
    """The reference; the number is chosen by cross-validation on training videos."""
    folds = list(KFold(FOLDS, shuffle=True, random_state=0).split(x_VD))
    least = min(len(kept) for kept, _ in folds)

    def score_of(k: int) -> float:
        return statistics.mean(
            top1(answers(k, x_VD[kept], train.labels_VC[kept], x_VD[left]), train.labels_VC[left])
            for kept, left in folds
        )

    k = chosen(score_of, least)
    return measured(answers(k, x_VD, train.labels_VC, x_test_VD), test.labels_VC, k)


def answers(k: int, x_VD: Floats, labels_VC: NDArray[np.bool_], x_test_VD: Floats) -> Floats:
    """(test videos, C) share of the k nearest that have the label, by cosine."""
    model = KNeighborsClassifier(k, metric="cosine").fit(x_VD, labels_VC.astype(int))
    each = zip(model.predict_proba(x_test_VD), model.classes_, strict=True)
    # A class that no or every training video of the fold has is known by one column alone.
    columns = [p_V2[:, list(seen).index(1)] if 1 in seen else 0 * p_V2[:, 0] for p_V2, seen in each]
    confidence_VC: Floats = np.stack(columns, axis=1)
    return confidence_VC


def side(store: FeatureStore, labels: Labels, subset: str, classes: Sequence[str]) -> Side:
    """The tagged videos of a subset that the store holds."""
    names = [v for v in videos_of(labels, subset) if v in store and labels.tags[v]]
    return Side(names, np.array([[c in labels.tags[v] for c in classes] for v in names]))


def describe(
    store: FeatureStore, names: Sequence[str], mean_D: Tensor | None, refine: Refine | None = None
) -> Described:
    """Videos as `wtal retrieve` compares them: raw ones centred, refined ones as they are."""
    rows = ((v, store.read(v)) for v in names)
    return described(((v, x if refine is None else refine(x)) for v, x in rows), mean_D=mean_D)


def rows_of(
    store: FeatureStore, train: Side, test: Side, models: Sequence[Path]
) -> Iterator[tuple[str, list[Figures]]]:
    """Name -> figures of each seed."""
    means, means_test = (
        np.stack([store.read(v).mean(axis=0, dtype=np.float64) for v in s.names])
        for s in (train, test)
    )
    mean_D = np.concatenate([store.read(v) for v in train.names]).mean(axis=0, dtype=np.float64)
    yield "scikit-learn, means", [by_sklearn(train, test, means, means_test)]
    yield (
        "scikit-learn, centred means",
        [by_sklearn(train, test, means - mean_D, means_test - mean_D)],
    )
    centre_D = torch.from_numpy(mean_D)
    raw = describe(store, train.names, centre_D), describe(store, test.names, centre_D)
    for kind in KINDS:
        yield f"raw, {kind}", [by_neighbours(train, test, raw, kind)]
    of_kind: dict[Kind, list[Figures]] = {kind: [] for kind in KINDS}
    for file in models:
        model = load_context(file)
        model.check(store.dim, store.manifest.encoder, str(store.root))
        refined = (
            describe(store, train.names, None, model.refine),
            describe(store, test.names, None, model.refine),
        )
        for kind in KINDS:
            of_kind[kind].append(by_neighbours(train, test, refined, kind))
    for kind, figures in of_kind.items():
        if figures:
            yield f"context, {kind}", figures


def summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation, 0 of one."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table_line(name: str, figures: Sequence[Figures]) -> str:
    """One line of the table, in percent."""
    numbers = ",".join(str(k) for k in sorted({one.neighbours for one in figures}))
    cells = []
    for values in ([one.top1 for one in figures], [one.mean_ap for one in figures]):
        mean, sd = summary([100 * value for value in values])
        cells.append(f"{mean:6.1f}" + (f" +- {sd:4.1f}" if len(values) > 1 else ""))
    return f"{name:28} {numbers:>10}  {cells[0]:>15}  {cells[1]:>15}"


def json_rows(name: str, figures: Sequence[Figures], reference: Figures) -> list[dict[str, object]]:
    """A row per figure, in the form of `wtal bench`, and the standard deviation."""
    rows: list[dict[str, object]] = []
    for figure in ("top1", "mean_ap"):
        values, base = [getattr(one, figure) for one in figures], getattr(reference, figure)
        mean, sd = summary(values)
        rows.append(
            {
                "name": f"tag suggestions, {name}, {figure}",
                "value": mean,
                "unit": "fraction",
                "reference": "scikit-learn, means",
                "reference_value": base,
                "ratio": mean / base if base else None,
                "repeats": len(values),
                "spread": (min(values), max(values)),
                "sd": sd,
                "neighbours": [one.neighbours for one in figures],
                "machine": machine_and_versions(),
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--tags", type=Path)
    parser.add_argument("--models", nargs="+", type=Path, default=[])
    parser.add_argument("--train", default="training")
    parser.add_argument("--test", default="test")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    store = open_store(options.store)
    labels = read_labels(options.tags, options.annotations)
    classes = sorted({c for v in videos_of(labels, options.train) for c in labels.tags[v]})
    train = side(store, labels, options.train, classes)
    test = side(store, labels, options.test, classes)
    print(
        f"{len(train.names)} {options.train} and {len(test.names)} {options.test} videos, ", end=""
    )
    print(f"{len(classes)} classes; percent, mean +- sd over the models")
    print(f"{'by':28} neighbours  {'top-1 right':>15}  {'mAP':>15}")
    written: list[dict[str, object]] = []
    reference: Figures | None = None
    for name, figures in rows_of(store, train, test, options.models):
        reference = reference or figures[0]
        print(table_line(name, figures), flush=True)
        written += json_rows(name, figures, reference)
    if options.json is not None:
        write_json(options.json, written)


if __name__ == "__main__":
    main()

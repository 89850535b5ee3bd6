"""What could be learned from features if the time stamps were known: a linear classifier on them.

    python benchmarks/linear_ceiling.py STORE... --annotations A.json

Snippets of the training subset teach it, those of the test subset are scored. Where this fails, no
learning from tags can succeed, and the features are to blame; where it succeeds and localization
does not, look at the method.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from wtal_eval import Annotations, read_annotations
from wtal_features import open_store

BACKGROUND = -1
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def snippets(store_folder: Path, annotations: Annotations, subset: str) -> tuple[Floats, Ints]:
    """Features and class of every snippet of a subset; the class is that at its middle."""
    store = open_store(store_folder)
    rows, classes = [], []
    for code, video in enumerate(annotations.videos):
        if annotations.subsets[code] != subset or video not in store:
            continue
        features_TD = store.read(video)
        middle_T = (np.arange(len(features_TD)) + 0.5) * store.timing(video).seconds_per_snippet
        label_T = np.full(len(features_TD), BACKGROUND)
        for i in np.flatnonzero(annotations.video == code):
            inside = (middle_T >= annotations.start[i]) & (middle_T < annotations.end[i])
            label_T[inside] = annotations.label[i]
        rows.append(features_TD)
        classes.append(label_T)
    return np.concatenate(rows), np.concatenate(classes)


def main() -> None:
    """Print, per store, accuracy among action snippets and AUC of action against background."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="+", type=Path)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--train", default="training")
    parser.add_argument("--test", default="test")
    options = parser.parse_args()
    annotations = read_annotations(options.annotations)
    for folder in options.stores:
        x, y = snippets(folder, annotations, options.train)
        x_test, y_test = snippets(folder, annotations, options.test)
        scale = StandardScaler().fit(x)
        x, x_test = scale.transform(x), scale.transform(x_test)
        acts, acts_test = y != BACKGROUND, y_test != BACKGROUND
        which = LogisticRegression(C=0.01, max_iter=1000).fit(x[acts], y[acts])
        whether = LogisticRegression(C=0.01, max_iter=1000).fit(x, acts)
        accuracy = which.score(x_test[acts_test], y_test[acts_test])
        auc = roc_auc_score(acts_test, whether.decision_function(x_test))
        most = np.bincount(y_test[acts_test]).max() / acts_test.sum()
        print(
            f"{folder.name}: class of an action snippet {accuracy:.3f} (the most frequent alone "
            f"{most:.3f}), action against background AUC {auc:.3f}"
        )


if __name__ == "__main__":
    main()

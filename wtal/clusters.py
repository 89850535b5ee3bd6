"""Clusters of snippets, kept over a training: when they are made, and what they say of a label.

Shapes: N snippets of a batch or of the set, V training videos, C action classes (column index C is
the background), K clusters, d dims of what is clustered.

A round takes what the visits of the last epoch left behind: no forward pass of its own. The first
round starts from nothing; later ones go on from the last centroids and stop once fewer than 1 % of
the labels change. Restarting from nothing moves almost half of the snippets to another cluster
although the network hardly changed (docs/benchmarks/dcc.md), and costs ten times as much.

Several processes each keep the visits of the videos that they saw last, and add up sums over them;
centroids, shares and clusters are the same everywhere.

Source: DCC (CVPR 2022), D2; schedule and scopes are ours, docs/decisions/0007.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal import kmeans
from wtal.errors import WtalError
from wtal.peers import ALONE, Peers
from wtal.pseudo_labels import ClusterShares, cluster_shares, confidence, purity
from wtal.schedule import integer_seed

COLD_ITERATIONS, WARM_ITERATIONS = 25, 3
BATCH_ITERATIONS = 10  # of clusterings that live for one step
COVERED = 0.9  # share of the videos that the first round waits for
RESTART_CHANGED = 0.2  # share of labels that the first assignment of a warm round may change
RESTART_IMBALANCE = 10.0  # largest cluster over the mean

Scope = Literal["dataset", "class", "video", "batch"]


@dataclass(frozen=True)
class ClusterConfig:
    """Which snippets are clustered together, in which space, how often and by what."""

    scope: Scope = "dataset"
    """`dataset`: all snippets together; `class`: those of the videos with a tag, tag by tag;
    `video` and `batch`: anew at every step, and forgotten."""
    features: Literal["projected", "embedding", "input"] = "projected"
    """The contrast's own space, the embedding H, or the features of the store; unit length."""
    k: int | Literal["auto"] = "auto"
    """Clusters: `auto` is `per_class` times C for the data set and a batch, 20 for a class, 10 for
    a video."""
    per_class: int = 10
    """Clusters per class of `k: auto`."""
    every_epochs: float = 5.0
    """Passes over the training videos between two rounds; 0: one round only."""
    start: Literal["warm", "cold"] = "warm"
    """`warm` goes on from the last centroids; `cold` starts every round from nothing."""
    leave_one_out: bool = False
    """A snippet does not confirm itself."""
    members: Literal["all", "class"] = "all"
    """Which snippets count in the share of a class: all, or those of videos with its tag."""
    min_size: int = 0
    """Smaller clusters take the share over all snippets."""
    backend: Literal["torch", "faiss", "faiss-cpu", "faiss-gpu"] = "torch"
    """`faiss` computes where the training does, and says so if it cannot."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the products of the torch backend; norms and sums are fp32 either way."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.k != "auto" and self.k < 1:
            raise WtalError(f"cluster.k is {self.k}; expected 'auto' or an integer >= 1.")
        if self.per_class < 1:
            raise WtalError(f"cluster.per_class is {self.per_class}; expected at least 1.")
        if self.every_epochs < 0 or self.min_size < 0:
            raise WtalError("cluster.every_epochs and cluster.min_size must be at least 0.")

    def number(self, n_classes: int) -> int:
        """K for a set of C classes."""
        if self.k != "auto":
            return self.k
        return {"class": 20, "video": 10}.get(self.scope, self.per_class * n_classes)

    @property
    def lasts(self) -> bool:
        """Whether clusters outlive a step."""
        return self.scope in ("dataset", "class")


class Visit(NamedTuple):
    """What the last visit of a video left behind."""

    features_Nd: Tensor  # bfloat16, unit length; distinct snippets only
    labels_NC: Tensor  # bool pseudo-labels, (N, C+1)


@dataclass
class Codebook:
    """One clustering: its centroids, and the pseudo-labels of their members."""

    centroids_Kd: Tensor
    shares: ClusterShares
    largest: float  # members of the largest cluster over the mean

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        parts = vars(self.shares) | {"centroids": self.centroids_Kd}
        return parts | {"largest": torch.tensor(self.largest, dtype=torch.float64)}

    @classmethod
    def of(cls, parts: Mapping[str, Tensor]) -> Codebook:
        """From `tensors()`."""
        shares = ClusterShares(parts["share_KC"], parts["count_KC"], parts["overall_C"])
        return cls(parts["centroids"], shares, float(parts["largest"]))


class SnippetClusters:
    """Clusters of the training snippets.

    Args:
        config: see there.
        labels_VC: bool tags of the training videos.
        seed: of the run.
        peers: the processes that share the training.
    """

    def __init__(
        self, config: ClusterConfig, labels_VC: Tensor, seed: int, peers: Peers = ALONE
    ) -> None:
        self.config, self.seed, self.peers = config, seed, peers
        self.labels_VC = labels_VC
        self.K = config.number(labels_VC.shape[1])
        self.visits: dict[int, Visit] = {}  # of videos that this process saw last
        self.elsewhere: set[int] = set()  # videos whose last visit another process keeps
        self.empty = Visit(  # what a process has that keeps none
            torch.zeros(0, 0, dtype=torch.bfloat16, device=labels_VC.device),
            torch.zeros(0, labels_VC.shape[1] + 1, dtype=torch.bool, device=labels_VC.device),
        )
        self.clusters: dict[int, dict[int, Tensor]] = {}  # group -> video -> cluster of each row
        self.codebooks: dict[int, Codebook] = {}  # group: 0 for the data set, else the class
        self.rounds = 0
        self.last_round = -1
        self._since = time.perf_counter()  # end of the last round

    def remember(self, video: int, features_Nd: Tensor, labels_NC: Tensor) -> None:
        """Keep what this visit of a video saw for the next round."""
        self.visits[video] = Visit(features_Nd.to(torch.bfloat16), labels_NC)
        self.elsewhere.discard(video)

    def leave(self, videos: Sequence[int], d: int) -> None:
        """Other processes see these videos now and keep their visits, of d dims."""
        for video in videos:
            self.visits.pop(video, None)
        self.elsewhere.update(videos)
        self.empty = self.empty._replace(features_Nd=self.empty.features_Nd.new_zeros(0, d))

    @property
    def seen(self) -> list[int]:
        """Videos that were visited, sorted; the same in all processes."""
        return sorted(self.elsewhere.union(self.visits))

    def _kept(self, videos: Sequence[int]) -> Visit:
        """The visits of these videos that this process keeps, one below the other."""
        visits = [self.visits[v] for v in videos if v in self.visits]
        if not visits:
            return self.empty
        return Visit(*(torch.cat(parts) for parts in zip(*visits, strict=True)))

    def _sizes(self, videos: Sequence[int]) -> list[int]:
        """Snippets of the last visit of each of these videos, whoever keeps it."""
        own = {v: len(self.visits[v].labels_NC) for v in videos if v in self.visits}
        sizes = {v: n for each in self.peers.gather_objects(own) for v, n in each.items()}
        return [sizes[v] for v in videos]

    def due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether a round comes before this step."""
        if not self.config.lasts:
            return False
        if self.rounds == 0:
            return len(self.visits) + len(self.elsewhere) >= COVERED * len(self.labels_VC)
        every = self.config.every_epochs * steps_per_epoch
        return every > 0 and step - self.last_round >= every

    def round(self, step: int) -> dict[str, float]:
        """Cluster every group anew from its last centroids.

        Returns:
            Figures for the log; `cluster_share` is the round's part of the time since the last one.
        """
        started = time.perf_counter()
        groups: dict[int, list[int]] = {0: self.seen}
        if self.config.scope == "class":
            groups = {
                c: [v for v in self.seen if self.labels_VC[v, c]]
                for c in range(self.labels_VC.shape[1])
            }
        figures = [self._fit_group(group, videos) for group, videos in groups.items() if videos]
        self.rounds, self.last_round = self.rounds + 1, step
        mean = {name: sum(f[name] for f in figures) / len(figures) for name in figures[0]}
        ended = time.perf_counter()
        seconds, share = ended - started, (ended - started) / (ended - self._since)
        self._since = ended
        return mean | {"cluster_seconds": round(seconds, 4), "cluster_share": round(share, 4)}

    def _fit_group(self, group: int, videos: list[int]) -> dict[str, float]:
        """One clustering over the last visits of these videos."""
        features_Nd, labels_NC = self._kept(videos)
        sizes, total = self._sizes(videos), self.peers.total
        N, own_N = sum(sizes), self._own(videos, sizes)
        previous_N = self._previous(group, videos, sizes)
        if previous_N is not None and own_N is not None:
            previous_N = previous_N[own_N]
        earlier = self.codebooks.get(group) if self.config.start == "warm" else None
        result, restarted = self._fit(features_Nd.float(), earlier, previous_N, N, own_N)
        cluster_N = self._everywhere(result.labels, own_N)
        self.clusters[group] = dict(zip(videos, torch.split(cluster_N, sizes), strict=True))
        K = len(result.centroids)
        counted_NC = self._counted(videos)
        shares = cluster_shares(labels_NC, result.labels, K, counted_NC, total)
        largest = result.counts.max().item() / (N / K)
        self.codebooks[group] = Codebook(result.centroids, shares, largest)
        return {
            "cluster_iterations": float(result.iterations),
            "cluster_changed_first": result.changed[0],
            "cluster_changed": result.changed[-1],
            "cluster_restarted": float(restarted),
            "cluster_largest": largest,
            "cluster_smallest": result.counts.min().item() / (N / K),
            "cluster_purity": purity(labels_NC, result.labels, K, total),
            "cluster_inertia": result.inertia / N,
        }

    def _own(self, videos: Sequence[int], sizes: Sequence[int]) -> Tensor | None:
        """Where the snippets that this process keeps stand among those of all; None: it has all."""
        if self.peers.size == 1:
            return None
        kept = torch.tensor([v in self.visits for v in videos])
        kept_N = kept.repeat_interleave(torch.tensor(sizes))
        return kept_N.nonzero()[:, 0].to(self.labels_VC.device)

    def _everywhere(self, labels_N: Tensor, own_N: Tensor | None) -> Tensor:
        """The labels of all snippets, from those that each process has."""
        if own_N is None:
            return labels_N
        every_N2 = self.peers.gather(torch.stack([own_N, labels_N], dim=1))
        return every_N2[every_N2[:, 0].argsort(), 1]

    def _fit(
        self,
        features_Nd: Tensor,
        earlier: Codebook | None,
        previous_N: Tensor | None,
        N: int,
        own_N: Tensor | None,
    ) -> tuple[kmeans.Result, bool]:
        """A warm round where one is possible, else a cold one; and whether a warm one was given up.

        Given up: more than a fifth of the labels changed at once, or one cluster grows beyond ten
        times the mean. Both say that the old centroids no longer describe the snippets. N snippets
        take part, of which this process has `own_N`.
        """
        settings: dict[str, Any] = {
            "spherical": True,
            "seed": integer_seed(self.seed, "clusters", self.rounds),
            "dtype": self.config.precision,
            "backend": searched_by(self.config.backend, features_Nd.device),
            "reduce": self.peers.reduce,
            "places": own_N,
        }
        if earlier is None:
            return kmeans.fit(features_Nd, self.K, iters=COLD_ITERATIONS, **settings), False
        warm = kmeans.fit(
            features_Nd,
            len(earlier.centroids_Kd),
            init=earlier.centroids_Kd,
            previous=previous_N,
            iters=WARM_ITERATIONS,
            **settings,
        )
        largest = warm.counts.max().item() / (N / len(earlier.centroids_Kd))
        lost = previous_N is not None and warm.changed[0] > RESTART_CHANGED
        lopsided = largest > RESTART_IMBALANCE and largest > earlier.largest
        if not lost and not lopsided:
            return warm, False
        return kmeans.fit(features_Nd, self.K, iters=COLD_ITERATIONS, **settings), True

    def _previous(self, group: int, videos: list[int], sizes: list[int]) -> Tensor | None:
        """Clusters of the round before, where the same snippets took part."""
        earlier = self.clusters.get(group, {})
        if [len(earlier[v]) for v in videos if v in earlier] != sizes:
            return None
        return torch.cat([earlier[v] for v in videos])

    def _counted(self, videos: list[int]) -> Tensor | None:
        """(N, C+1) bool: snippets kept here that count in the share of a class; None: all."""
        if self.config.members == "all":
            return None
        kept = [v for v in videos if v in self.visits]
        sizes = [len(self.visits[v].labels_NC) for v in kept]
        tagged_VC = F.pad(self.labels_VC[kept], (0, 1), value=True)
        counts = torch.tensor(sizes, dtype=torch.int64, device=tagged_VC.device)
        return tagged_VC.repeat_interleave(counts, dim=0)

    def confidence(
        self, features_Nd: Tensor, labels_NC: Tensor, lengths_B: Tensor, videos_B: Tensor, step: int
    ) -> Tensor:
        """S of the snippets of a batch, by their clusters now; 1 where there are none yet.

        Args:
            features_Nd: unit length, no graph.
            labels_NC: bool pseudo-labels.
            lengths_B: snippets of each video.
            videos_B: which training videos.
            step: of the training; seeds what lives for one step.

        Returns:
            (N, C+1) in [0, 1].
        """
        if self.config.scope == "class":
            return self._by_class(features_Nd, labels_NC, lengths_B, videos_B)
        if self.config.scope == "video":
            pieces = self._by_video(features_Nd, labels_NC, lengths_B, step)
            return torch.cat([labels_NC[:0].float(), *pieces])
        if self.config.scope == "batch":
            found = kmeans.fit(
                features_Nd,
                self.K,
                iters=BATCH_ITERATIONS,
                spherical=True,
                seed=integer_seed(self.seed, "clusters", step),
                reduce=self.peers.reduce,
            )
            K = len(found.centroids)
            shares = cluster_shares(labels_NC, found.labels, K, total=self.peers.total)
            return self._confidence(labels_NC, found.labels, shares)
        if 0 not in self.codebooks:
            return torch.ones_like(labels_NC, dtype=torch.float32)
        return self._look_up(0, features_Nd, labels_NC)

    def _look_up(self, group: int, features_Nd: Tensor, labels_NC: Tensor) -> Tensor:
        """By the nearest centroid of today's features: sampling moves bins between visits."""
        book = self.codebooks[group]
        cluster_N, _ = kmeans.assign(features_Nd, book.centroids_Kd, spherical=True)
        return self._confidence(labels_NC, cluster_N, book.shares)

    def _confidence(self, labels_NC: Tensor, cluster_N: Tensor, shares: ClusterShares) -> Tensor:
        return confidence(
            labels_NC,
            cluster_N,
            shares,
            leave_one_out=self.config.leave_one_out,
            min_size=self.config.min_size,
        )

    def _by_class(
        self, features_Nd: Tensor, labels_NC: Tensor, lengths_B: Tensor, videos_B: Tensor
    ) -> Tensor:
        """Each tag's column from the clusters of its videos; other columns are 1."""
        confidence_NC = torch.ones_like(labels_NC, dtype=torch.float32)
        tagged_NC = self.labels_VC[videos_B].repeat_interleave(lengths_B, dim=0)
        for c in tagged_NC.any(0).nonzero()[:, 0].tolist():
            if c in self.codebooks:
                rows = tagged_NC[:, c].nonzero()[:, 0]
                found = self._look_up(c, features_Nd[rows], labels_NC[rows])
                confidence_NC[rows, c] = found[:, c]
        return confidence_NC

    def _by_video(
        self, features_Nd: Tensor, labels_NC: Tensor, lengths_B: Tensor, step: int
    ) -> list[Tensor]:
        """Every video by its own clusters, made now."""
        sizes = lengths_B.tolist()
        seed = integer_seed(self.seed, "clusters", step)
        found = kmeans.fit_batched(
            torch.split(features_Nd, sizes),
            self.K,
            iters=BATCH_ITERATIONS,
            seed=seed,
            spherical=True,
        )
        pieces = []
        for labels, one in zip(torch.split(labels_NC, sizes), found, strict=True):
            shares = cluster_shares(labels, one.labels, len(one.centroids))
            pieces.append(self._confidence(labels, one.labels, shares))
        return pieces

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and small facts that resume needs; of several processes, the first has all."""
        tensors: dict[str, Tensor] = {}
        videos = self.seen
        sizes = self._sizes(videos)
        if videos:
            visits = self._all_visits(videos, sizes)
            tensors["visits/features"], tensors["visits/labels"] = visits
        for group, book in self.codebooks.items():
            tensors |= {f"books/{group}/{name}": part for name, part in book.tensors().items()}
            members = self.clusters[group]
            tensors[f"members/{group}"] = torch.cat([members[v] for v in sorted(members)])
        facts = {
            "videos": videos,
            "sizes": sizes,
            "members": {
                str(group): [[v, len(members[v])] for v in sorted(members)]
                for group, members in self.clusters.items()
            },
            "rounds": self.rounds,
            "last_round": self.last_round,
        }
        return tensors, facts

    def shared(self) -> list[Tensor]:
        """What several processes hold alike: centroids, shares of the pseudo-labels, clusters."""
        found = [torch.tensor([self.rounds, self.last_round, *self.seen])]
        for group, book in self.codebooks.items():
            members = self.clusters[group]
            found += [*book.tensors().values(), *(members[v] for v in sorted(members))]
        return found

    def _all_visits(self, videos: Sequence[int], sizes: Sequence[int]) -> Visit:
        """The visits of all videos; elsewhere than in the first process anything."""
        kept, own_N = self._kept(videos), self._own(videos, sizes)
        if own_N is None:
            return kept
        place_N = self.peers.gather_to_first(own_N)
        every = (self.peers.gather_to_first(part) for part in kept)
        return Visit(*(part[place_N.argsort()] for part in every))

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put a saved state back."""
        device = self.labels_VC.device
        self.rounds, self.last_round = facts["rounds"], facts["last_round"]
        if facts["videos"]:
            features = torch.split(tensors["visits/features"].to(device), facts["sizes"])
            labels = torch.split(tensors["visits/labels"].to(device), facts["sizes"])
            videos, size = facts["videos"], self.peers.size
            keepers = [place * size // len(videos) for place in range(len(videos))]
            for video, keeper, *visit in zip(videos, keepers, features, labels, strict=True):
                if keeper == self.peers.rank:
                    self.visits[video] = Visit(*(part.clone() for part in visit))
            self.leave([v for v in videos if v not in self.visits], features[0].shape[1])
        for group, members in facts["members"].items():
            head = f"books/{group}/"
            parts = {n[len(head) :]: t.to(device) for n, t in tensors.items() if n.startswith(head)}
            self.codebooks[int(group)] = Codebook.of(parts)
            pieces = torch.split(tensors[f"members/{group}"].to(device), [n for _, n in members])
            self.clusters[int(group)] = dict(zip([v for v, _ in members], pieces, strict=True))


def searched_by(name: str, device: torch.device) -> str:
    """Faiss where the training computes."""
    if name == "faiss" and device.type == "cuda":
        return "faiss-gpu"
    return "faiss" if name == "faiss-cpu" else name

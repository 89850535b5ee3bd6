"""One clustering per video, many videos at once.

Shapes: G videos of a group, T snippets (padded with zeros), d dims, K clusters, n snippets of one
video, k = min(K, n) of its clusters. A snippet of padding has label K, which no cluster has.

Lloyd's passes repeat over a few megabytes. So on a CPU a group holds as many snippets as stay in a
core's cache over all passes, and videos of similar length go together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.errors import WtalError
from wtal.kmeans.inputs import check_at_least, check_points, describe_bad_row
from wtal.kmeans.lloyd import CPU_ROWS, SCORE_BYTES, Stats, update
from wtal.kmeans.repair import repair
from wtal.kmeans.seeding import plus_plus

Init = Literal["segments", "k-means++"]


class Clusters(NamedTuple):
    """A clustering of one video; the labels belong to these centroids."""

    centroids: Tensor  # (k, d) fp32
    labels: Tensor  # (n,) int64, nearest centroid, ties to the lowest index


def fit_batched(
    videos: Sequence[Tensor],
    k: int,
    *,
    iters: int = 25,
    init: Init = "segments",
    seed: int = 0,
    spherical: bool = False,
) -> list[Clusters]:
    """One clustering per video; a video of n < k snippets gets n clusters.

    None sees another: a video gets the same clusters alone, up to rounding. Empty clusters are
    mended as in `wtal.kmeans.fit`; the same bits in every run, on CUDA too.

    Args:
        videos: (n, d) floating point each, in temporal order, on one device.
        k: clusters, at least 1.
        iters: most updates of the centroids; fewer once no label changes.
        init: means of k equal stretches of time, or k-means++.
        seed: of k-means++; every video starts from it.
        spherical: centroids have unit length, so that the nearest has the largest cosine; the
            snippets are assumed to have it.

    Returns:
        In the order of `videos`.

    Raises:
        WtalError: shapes or values that do not fit, or a video without snippets.
    """
    check_at_least(1, k=k)
    check_at_least(0, iters=iters)
    if init not in ("segments", "k-means++"):
        raise WtalError(f"init is {init!r}; expected segments or k-means++.")
    for v, x_nd in enumerate(videos):
        _check_video(x_nd, v, videos[0].shape[-1])
    found: dict[int, Clusters] = {}
    for group in _groups(videos, k):
        members = [videos[v].float() for v in group]
        with torch.no_grad(), torch.autocast(members[0].device.type, enabled=False):
            batch = _Group.of(members, k, spherical)
            clusters = batch.fit(iters, seed if init == "k-means++" else None)
        found |= dict(zip(group, clusters, strict=True))
    return [found[v] for v in range(len(videos))]


def _check_video(x_nd: Tensor, v: int, d: int) -> None:
    """A video that cannot be clustered."""
    check_points(x_nd, f"Video {v}")
    if not len(x_nd) or x_nd.shape[1] != d:
        raise WtalError(
            f"Video {v} has shape {tuple(x_nd.shape)}; expected (n, {d}), n at least 1."
        )
    if not torch.linalg.vector_norm(x_nd.float()).square().isfinite():
        raise WtalError(f"{describe_bad_row(x_nd, f'video {v}')}; K-Means needs finite points.")


def _groups(videos: Sequence[Tensor], K: int) -> Iterator[list[int]]:
    """Videos by length, as many together as the cache holds once they are padded."""
    group: list[int] = []
    for v in sorted(range(len(videos)), key=lambda v: len(videos[v])):
        n, d = videos[v].shape
        rows = CPU_ROWS if videos[v].device.type == "cpu" else SCORE_BYTES // (4 * max(K, d))
        if group and n * (len(group) + 1) > rows:
            yield group
            group = []
        group.append(v)
    if group:
        yield group


@dataclass(frozen=True)
class _Group:
    x_GTd: Tensor
    lengths: tuple[int, ...]
    padding_GT: Tensor  # bool
    spare_GK: Tensor  # bool, clusters that a short video does not have
    K: int
    spherical: bool

    @classmethod
    def of(cls, members: Sequence[Tensor], K: int, spherical: bool) -> _Group:
        x_GTd = torch.nn.utils.rnn.pad_sequence(list(members), batch_first=True)
        lengths = tuple(len(x_nd) for x_nd in members)
        lengths_G1 = torch.tensor(lengths, device=x_GTd.device).unsqueeze(1)
        padding_GT = torch.arange(x_GTd.shape[1], device=x_GTd.device) >= lengths_G1
        spare_GK = torch.arange(K, device=x_GTd.device) >= lengths_G1
        return cls(x_GTd, lengths, padding_GT, spare_GK, K, spherical)

    def fit(self, iters: int, seed: int | None) -> list[Clusters]:
        """Lloyd; `seed` None starts from stretches of time."""
        centroids_GKd = self.x_GTd.new_zeros(len(self.x_GTd), self.K, self.x_GTd.shape[2])
        if seed is None:
            centroids_GKd = self._update(self._stretches(), centroids_GKd)
        else:
            self._plus_plus(centroids_GKd, seed)
        labels_GT = self._assign(centroids_GKd)
        for _ in range(iters):
            centroids_GKd = self._update(labels_GT, centroids_GKd)
            before_GT, labels_GT = labels_GT, self._assign(centroids_GKd)
            if torch.equal(labels_GT, before_GT):
                break
        return [
            Clusters(centroids_GKd[g, : min(self.K, n)].clone(), labels_GT[g, :n].clone())
            for g, n in enumerate(self.lengths)
        ]

    def _stretches(self) -> Tensor:
        """Labels of k equal stretches of time."""
        times_T = torch.arange(self.x_GTd.shape[1], device=self.x_GTd.device)
        lengths_G1 = (~self.padding_GT).sum(1, keepdim=True)
        labels_GT = times_T * lengths_G1.clamp(max=self.K) // lengths_G1
        return labels_GT.masked_fill(self.padding_GT, self.K)

    def _plus_plus(self, centroids_GKd: Tensor, seed: int) -> None:
        for g, n in enumerate(self.lengths):
            k, generator = min(self.K, n), torch.Generator().manual_seed(seed)
            centroids_GKd[g, :k] = plus_plus(self.x_GTd[g, :n], k, generator)
        if self.spherical:
            F.normalize(centroids_GKd, dim=2, out=centroids_GKd)

    def _assign(self, centroids_GKd: Tensor) -> Tensor:
        """Nearest clusters; scores with T last, which is faster while K is small."""
        half_GK = torch.linalg.vector_norm(centroids_GKd, dim=2).square() / 2
        half_GK = half_GK.masked_fill(self.spare_GK, torch.inf).unsqueeze(2)
        scores_GKT = torch.baddbmm(half_GK, centroids_GKd, self.x_GTd.mT, alpha=-1)
        if scores_GKT.device.type == "cpu":
            labels_GT = torch.from_numpy(scores_GKT.numpy().argmin(1))  # as in `wtal.kmeans.lloyd`
        else:
            labels_GT = scores_GKT.argmin(1)
        return labels_GT.masked_fill(self.padding_GT, self.K)

    def _update(self, labels_GT: Tensor, centroids_GKd: Tensor) -> Tensor:
        """Means or directions; videos with an empty cluster one by one."""
        by = sums_by_index if labels_GT.device.type == "cpu" else sums_by_product
        sums_GKd, counts_GK = by(self.x_GTd, labels_GT, self.K)
        lengths_GK = torch.linalg.vector_norm(sums_GKd, dim=2) if self.spherical else counts_GK
        means_GKd = sums_GKd / lengths_GK.unsqueeze(2)
        means_GKd = torch.where(lengths_GK.unsqueeze(2) > 0, means_GKd, centroids_GKd)
        empty_GK = (counts_GK == 0) & ~self.spare_GK
        for g in empty_GK.any(1).nonzero().flatten().tolist():
            n, k = self.lengths[g], min(self.K, self.lengths[g])
            sums_Kd, counts_K = sums_GKd[g, :k].double(), counts_GK[g, :k].double()
            unused = counts_K.sum()
            stats = Stats(sums_Kd, counts_K, unused, unused, labels_GT[g, :n])
            stats, _ = repair(stats, self.x_GTd[g, :n], centroids_GKd[g, :k])
            means_GKd[g, :k] = update(stats, centroids_GKd[g, :k], spherical=self.spherical)
        return means_GKd


def sums_by_index(x_GTd: Tensor, labels_GT: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """(G, K, d) sums and (G, K) counts, row by row: the faster way on a CPU."""
    G, _, d = x_GTd.shape
    offsets_G1 = torch.arange(G, device=x_GTd.device).unsqueeze(1) * (K + 1)
    rows = (labels_GT + offsets_G1).flatten()
    sums_GKd = x_GTd.new_zeros(G * (K + 1), d).index_add_(0, rows, x_GTd.flatten(0, 1))
    counts_GK = torch.bincount(rows, minlength=G * (K + 1)).to(x_GTd.dtype)
    return sums_GKd.view(G, K + 1, d)[:, :K], counts_GK.view(G, K + 1)[:, :K]


def sums_by_product(x_GTd: Tensor, labels_GT: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """The same as a product, which on CUDA has a fixed order where adding by index has none."""
    clusters_K1 = torch.arange(K, device=x_GTd.device).unsqueeze(1)
    member_GKT = (labels_GT.unsqueeze(1) == clusters_K1).to(x_GTd.dtype)
    return torch.bmm(member_GKT, x_GTd), member_GKT.sum(2)

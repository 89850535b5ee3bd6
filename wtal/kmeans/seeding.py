"""Where K-Means starts: a sample of the points, and k-means++ on it.

Shapes: S sampled points, d dims, K clusters, L candidates drawn at once, n points of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wtal.kmeans.lloyd import RESOLUTION, chunks
from wtal.kmeans.reduce import Reduce


def sample(
    x_Nd: Tensor,
    size: int,
    generator: torch.Generator,
    *,
    weights_N: Tensor | None = None,
    places_N: Tensor | None = None,
    reduce: Reduce | None = None,
) -> Tensor:
    """Sorted indices of this process's share of a random sample of the points of all processes.

    However the points are divided among processes, the sample is the same.

    Args:
        x_Nd: points of this process.
        size: of the whole sample; all points if there are not more.
        generator: on the CPU, in the same state on every process.
        weights_N: points of weight 0 are left out.
        places_N: where they stand among the points of all; None: after those of lower ranks.
        reduce: the processes.
    """
    weighted = torch.ones(len(x_Nd), device=x_Nd.device) if weights_N is None else weights_N
    ids = weighted.nonzero().flatten()
    counts, before = [len(ids)], 0
    if reduce is not None:
        counts = reduce.gather(ids.new_tensor([len(ids)])).tolist()
        before = sum(counts[: reduce.rank])
    drawn_S = torch.randperm(sum(counts), generator=generator)[:size].sort().values
    if reduce is not None and places_N is not None:
        all_places = reduce.gather(places_N[ids]).sort().values
        mine_N = torch.searchsorted(all_places, places_N[ids])
        return ids[torch.isin(mine_N, drawn_S.to(ids.device))]
    drawn_S = drawn_S - before
    return ids[drawn_S[(drawn_S >= 0) & (drawn_S < len(ids))].to(ids.device)]


def plus_plus(
    x_Sd: Tensor, K: int, generator: torch.Generator, weights_S: Tensor | None = None
) -> Tensor:
    """K points by k-means++: drawn with odds w D^2, D the distance to the nearest one drawn so far.

    One product per draw would be bound by memory. So L candidates are drawn at once by the odds of
    now, and one after another is accepted with probability D^2(then) / D^2(now), which takes the
    candidates accepted before it into account. That is rejection sampling from the odds of then:
    the same distribution as one by one, at the price of one assignment of all points.

    Args:
        x_Sd: fp32.
        K: how many; beyond the distinct points the first is repeated.
        generator: on the CPU.
        weights_S: weights.

    Source: Arthur and Vassilvitskii, SODA 2007; the draws at once are ours.
    """
    squares_S = torch.linalg.vector_norm(x_Sd, dim=1).square()
    weights_S = torch.ones_like(squares_S) if weights_S is None else weights_S
    chosen = _draw(weights_S, 1, generator)
    distances_S = _nearer(torch.full_like(squares_S, torch.inf), x_Sd, squares_S, chosen)
    while len(chosen) < K and (odds_S := weights_S * distances_S).any():
        candidates_L = _draw(odds_S, min(K - len(chosen), max(8, len(chosen))), generator)
        uniform_L = torch.rand(len(candidates_L), generator=generator)
        accepted = candidates_L[_accept(x_Sd, distances_S, candidates_L, uniform_L)]
        distances_S = _nearer(distances_S, x_Sd, squares_S, accepted)
        chosen = torch.cat([chosen, accepted])
    repeated = chosen[:1].expand(K - len(chosen))
    return x_Sd[torch.cat([chosen, repeated])]


def _draw(odds_S: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices drawn by odds, with replacement; on the CPU's generator, so alike on every device."""
    cumulative_S = odds_S.double().cpu().cumsum(0)
    point_L = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative_S[-1]
    drawn_L = torch.searchsorted(cumulative_S, point_L, right=True)
    return drawn_L.clamp(max=len(odds_S) - 1).to(odds_S.device)


def _accept(x_Sd: Tensor, distances_S: Tensor, candidates_L: Tensor, uniform_L: Tensor) -> Tensor:
    """(L,) bool; the first candidate is always accepted."""
    x_Ld = x_Sd[candidates_L]
    between_LL = torch.cdist(x_Ld, x_Ld, compute_mode="donot_use_mm_for_euclid_dist").square().cpu()
    before_L = distances_S[candidates_L].cpu()
    then_L = before_L.clone()
    accepted_L = torch.zeros(len(x_Ld), dtype=torch.bool)
    for i in range(len(x_Ld)):
        if uniform_L[i] * before_L[i] < then_L[i]:
            accepted_L[i] = True
            then_L = torch.minimum(then_L, between_LL[i])
    return accepted_L.to(x_Sd.device)


def _nearer(distances_S: Tensor, x_Sd: Tensor, squares_S: Tensor, chosen: Tensor) -> Tensor:
    """Squared distances to the nearest point drawn, with some more drawn; 0 below what is visible.

    Without the floor a point that was drawn could be drawn again by its rounding.
    """
    drawn_Kd, half_K = x_Sd[chosen], squares_S[chosen] / 2
    nearest_S = torch.empty_like(distances_S)
    for part in chunks(len(x_Sd), len(chosen), x_Sd.device):
        scores_nK = torch.addmm(half_K, x_Sd[part], drawn_Kd.T, alpha=-1)
        nearest_S[part] = squares_S[part] + 2 * scores_nK.amin(1)
    nearest_S = nearest_S.masked_fill(nearest_S <= RESOLUTION * squares_S, 0)
    return torch.minimum(distances_S, nearest_S)

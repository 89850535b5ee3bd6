"""The nearest videos of a gallery, exactly: by matrix products, or by faiss above a size.

Shapes: see the package; q queries of a strip, r some of them, c candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval.blocks import Budget
from wtal_features.retrieval.similarity import Described, Kind, check_pair, similarities

Index = Literal["auto", "exact", "faiss"]
INDICES: tuple[Index, ...] = ("auto", "exact", "faiss")

# Two similarities that agree to so many decimals are equally near. Products in float32 are off by
# some 1e-7, so copies of one video would stand in an order that depends on the block they are in.
DECIMALS = 5
# Candidates beyond those asked for, so that a tie at the end is mostly seen at once.
_MORE = 16
# Pairs of videos from which on faiss is taken. Below, both take as long; at ten times as many faiss
# takes two thirds of the time, since it searches in float32.
_FAISS_FROM = 10**7
# What sorting holds of a candidate, over the 4 bytes of its similarity.
_SORTING = 10
# Elements of the candidates whose similarities are taken once more at a time: 4 MB.
_RESCORED = 1 << 19

# The c candidates nearest to some queries of a strip: values and numbers, (r, c), descending.
Search = Callable[[Tensor, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Neighbours:
    """The k videos of the gallery that are nearest to each query.

    Attributes:
        indices_Qk: int64, numbers in the gallery, nearest first; -1 where a query has fewer.
        values_Qk: float32 similarities to five decimals; -inf where a query has fewer.
    """

    indices_Qk: Tensor
    values_Qk: Tensor


def nearest(
    queries: Described,
    gallery: Described,
    kind: Kind,
    k: int,
    *,
    exclude_self: bool = False,
    memory_mb: float = 256,
    index: Index = "auto",
) -> Neighbours:
    """The k nearest, descending; of equally near ones (to five decimals) by name.

    Args:
        queries: Q videos.
        gallery: G videos.
        kind: As in `similarities`.
        k: At least 1; of a smaller gallery, all.
        exclude_self: Leave out the video of the gallery that has the name of the query.
        memory_mb: What may be used beside the videos, one strip and the result, in MB (1e6 bytes).
        index: "exact" compares by matrix products; "faiss" is for cosine on the CPU, holds one
            more copy of the gallery, and gives the same; "auto" takes faiss where it is installed
            and there are ten million pairs or more.

    Raises:
        FeatureError: As `similarities`; or if k is below 1, the index is unknown, or faiss is
            asked for but is not installed or cannot do it.
    """
    check_pair(queries, gallery, kind, memory_mb)
    if k < 1:
        raise FeatureError(f"k is {k}; expected at least 1.", code="k")
    own_Q = _own(queries, gallery) if exclude_self else torch.full((len(queries.names),), -1)
    device = queries.pooled_VD.device
    ranks_G, own_Q = _ranks(gallery.names).to(device), own_Q.to(device)
    width = len(gallery.names) - int(bool((own_Q >= 0).all()))
    if not width:
        return Neighbours(
            own_Q.new_empty(len(own_Q), 0), queries.pooled_VD.new_empty(len(own_Q), 0)
        )
    k = min(k, width)
    c = k + _MORE
    strips = (
        _faiss(queries, gallery, own_Q, c, memory_mb)
        if _by_faiss(queries, gallery, kind, index)
        else _exact(queries, gallery, kind, own_Q, memory_mb)
    )
    found = []
    for q, search in strips:
        rows_q = torch.arange(q, device=device)
        found.append(_settled(search, rows_q, k, c, ranks_G))
    return Neighbours(torch.cat([one[1] for one in found]), torch.cat([one[0] for one in found]))


def _settled(
    search: Search, rows_r: Tensor, k: int, c: int, ranks_G: Tensor
) -> tuple[Tensor, Tensor]:
    """Sort candidates; where a further one may be as near as the last, ask for more.

    Args:
        search: Of a strip.
        rows_r: Queries of the strip.
        k: Neighbours wanted.
        c: Candidates to ask for.
        ranks_G: Place of each video of the gallery in the order of the names.

    Returns:
        (r, k) values and numbers.
    """
    c = min(len(ranks_G), c)
    values_rc, indices_rc = search(rows_r, c)
    # One integer for both: less similar, or as similar and later by name, is larger.
    steps_rc = (values_rc.double() * 10**DECIMALS).round().clamp(min=-(2**31)).long()
    order_rk = (ranks_G[indices_rc] - len(ranks_G) * steps_rc).argsort(dim=1)[:, :k]
    none_rk = values_rc.gather(1, order_rk).isinf()
    values_rk = (steps_rc.gather(1, order_rk).double() / 10**DECIMALS).float()
    values_rk = values_rk.masked_fill(none_rk, -torch.inf)
    indices_rk = indices_rc.gather(1, order_rk).masked_fill(none_rk, -1)
    open_r = values_rc[:, -1] >= values_rc[:, k - 1] - 2 * 10**-DECIMALS
    if c < len(ranks_G) and open_r.any():
        # Four times the candidates of a quarter of the queries: as much memory as before.
        for some in torch.split(open_r.nonzero()[:, 0], max(1, len(rows_r) // 4)):
            more = _settled(search, rows_r[some], k, 4 * c, ranks_G)
            values_rk[some], indices_rk[some] = more
    return values_rk, indices_rk


def _exact(
    queries: Described, gallery: Described, kind: Kind, own_Q: Tensor, memory_mb: float
) -> Iterator[tuple[int, Search]]:
    # A strip may be the whole matrix.
    q = Budget(memory_mb).strip(2 * len(gallery.names))
    for first, strip_qG in similarities(queries, gallery, kind, memory_mb=memory_mb):
        own_q = own_Q[first : first + len(strip_qG)]
        for part_qG, own in zip(torch.split(strip_qG, q), torch.split(own_q, q), strict=True):
            (rows,) = (own >= 0).nonzero(as_tuple=True)
            part_qG[rows, own[rows]] = -torch.inf

            def search(rows_r: Tensor, c: int, part_qG: Tensor = part_qG) -> tuple[Tensor, Tensor]:
                values_rc, indices_rc = part_qG[rows_r].topk(c, dim=1)
                return values_rc, indices_rc

            yield len(part_qG), search


def _faiss(
    queries: Described, gallery: Described, own_Q: Tensor, c: int, memory_mb: float
) -> Iterator[tuple[int, Search]]:
    """Candidates by faiss; their values once more in float64, as the exact search has them."""
    gallery_GD = gallery.pooled_VD.contiguous()
    G, D = gallery_GD.shape
    flat = _load_faiss().IndexFlatIP(D)
    flat.add(gallery_GD.numpy())
    q = Budget(memory_mb).strip(max(D, _SORTING * c))
    for query_qD, own_q in zip(
        torch.split(queries.pooled_VD, q), torch.split(own_Q, q), strict=True
    ):

        def search(
            rows_r: Tensor, c: int, query_qD: Tensor = query_qD, own_q: Tensor = own_q
        ) -> tuple[Tensor, Tensor]:
            query_rD = query_qD[rows_r]
            # One more, since the query may find itself.
            _, found = flat.search(query_rD.numpy(), min(G, c + 1))
            indices_rc = torch.from_numpy(found)
            values_rc = _rescored(query_rD, gallery_GD, indices_rc)
            values_rc = values_rc.masked_fill(indices_rc == own_q[rows_r, None], -torch.inf)
            values_rc, order_rc = values_rc.sort(dim=1, descending=True)
            return values_rc[:, :c], indices_rc.gather(1, order_rc[:, :c])

        yield len(query_qD), search


def _rescored(query_rD: Tensor, gallery_GD: Tensor, indices_rc: Tensor) -> Tensor:
    """(r, c) cosines of the candidates, each query with its own; few at a time."""
    (r, c), D = indices_rc.shape, gallery_GD.shape[1]
    values_rc = query_rD.new_empty(r, c)
    columns = min(c, max(1, _RESCORED // D))
    rows = max(1, _RESCORED // (columns * D))
    for i in range(0, r, rows):
        for j in range(0, c, columns):
            some = slice(i, i + rows), slice(j, j + columns)
            near_rcD = gallery_GD[indices_rc[some]].double()
            values_rc[some] = torch.einsum("rcd,rd->rc", near_rcD, query_rD[some[0]].double())
    return values_rc


def _by_faiss(queries: Described, gallery: Described, kind: Kind, index: Index) -> bool:
    if index not in INDICES:
        raise FeatureError(
            f"There is no index {index!r}; there are {', '.join(INDICES)}.", code="index"
        )
    possible = kind == "cosine" and queries.pooled_VD.device.type == "cpu"
    if index == "faiss":
        if not possible:
            raise FeatureError(
                "The index faiss is for the kind cosine on the CPU.",
                "Take the index auto or exact.",
                code="index",
            )
        _load_faiss()
        return True
    many = len(queries.names) * len(gallery.names) >= _FAISS_FROM
    return index == "auto" and possible and many and find_spec("faiss") is not None


def _load_faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise FeatureError(
            "The index faiss needs a package that is not installed.",
            "Run: pip install 'wtal[faiss]', or take the index exact.",
            code="faiss",
        ) from None
    return faiss


def _ranks(names: Sequence[str]) -> Tensor:
    """(G,) place of each name in the order of the names."""
    order = sorted(range(len(names)), key=names.__getitem__)
    return torch.tensor(order).argsort()


def _own(queries: Described, gallery: Described) -> Tensor:
    """(Q,) number in the gallery of the video with the name of the query; -1: none."""
    places = {name: place for place, name in enumerate(gallery.names)}
    return torch.tensor([places.get(name, -1) for name in queries.names])

"""How alike two videos are: cosine of pooled descriptors, chamfer and symmetric chamfer of frames.

Shapes: see the package; q queries of a strip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval.blocks import Block, Budget, compared, cut
from wtal_features.retrieval.describing import Described, described

__all__ = ["KINDS", "Described", "Kind", "chamfer", "described", "similarities"]

Kind = Literal["cosine", "chamfer", "symmetric"]
KINDS: tuple[Kind, ...] = ("cosine", "chamfer", "symmetric")


def chamfer(query_ND: Tensor, gallery_MD: Tensor) -> Tensor:
    """How well each row of the query is found again: (1/N) sum_i max_j q_i . d_j.

    Args:
        query_ND: Unit rows of one video.
        gallery_MD: Unit rows of another.

    Returns:
        Scalar in [-1, 1]. Swapping the videos changes it.

    Raises:
        FeatureError: If a video has no row, or dimensions differ.

    Source: TCA (WACV 2021), eq. 8; xwen99/temporal_context_aggregation evaluation.py, `chamfer`.

    Example:
        >>> import torch
        >>> query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> video = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
        >>> round(chamfer(query, video).item(), 6), round(chamfer(video, query).item(), 6)
        (0.9, 0.6)
    """
    if query_ND.ndim != 2 or gallery_MD.ndim != 2 or not len(query_ND) or not len(gallery_MD):
        raise FeatureError(
            f"Chamfer takes rows (N, D) and (M, D), N and M at least 1; got "
            f"{tuple(query_ND.shape)} and {tuple(gallery_MD.shape)}.",
            code="shape",
        )
    _check_dims(query_ND.shape[1], gallery_MD.shape[1])
    return (query_ND @ gallery_MD.T).amax(dim=1).mean()


def similarities(
    queries: Described, gallery: Described, kind: Kind, *, memory_mb: float = 256
) -> Iterator[tuple[int, Tensor]]:
    """Every query against every video of the gallery, strip after strip.

    Args:
        queries: Q videos.
        gallery: G videos; the same object where videos are compared among themselves, which takes
            half the products if the whole matrix fits into half of the memory.
        kind: "cosine" of the pooled descriptors; "chamfer" of the rows, where those of the query
            are averaged; "symmetric", the mean of chamfer in both directions.
        memory_mb: What may be used beside the videos and one strip, in MB (1e6 bytes).

    Yields:
        Number of the first query, (q, G) float32.

    Raises:
        FeatureError: If the kind is unknown, dimensions or dtypes differ, or rows are needed that
            were not kept.
    """
    check_pair(queries, gallery, kind, memory_mb)
    if kind == "cosine":
        return _cosines(queries.pooled_VD, gallery.pooled_VD, Budget(memory_mb))
    if queries is gallery and 4 * len(gallery.names) ** 2 <= memory_mb * 1e6 / 2:
        return iter([(0, _among_themselves(gallery, kind, Budget(memory_mb)))])
    return _strips(queries, gallery, kind, Budget(memory_mb))


def pairs(
    videos: Described, kind: Kind, budget: Budget
) -> Iterator[tuple[Block, Block, Tensor, Tensor]]:
    """Each two blocks of videos once: (q, g) similarities of the first to the second, and back.

    A block also meets itself. The matrix back is (q, g) too: of video j of the second block to
    video i of the first.
    """
    rows_ND = rows_of(videos)
    blocks = cut(videos.starts, budget.rows(rows_ND), rows_ND.device)
    room = budget.room(rows_ND, blocks)
    for number, first in enumerate(blocks):
        taken = first.take(rows_ND)
        for second in blocks[number:]:
            there_qg, back_qg = compared(taken, second.take(rows_ND), room, back=True)
            if kind == "symmetric":
                there_qg = back_qg = (there_qg + back_qg) / 2
                if first is second:  # each pair is there twice, rounded in its own way
                    there_qg = back_qg = (there_qg + there_qg.T) / 2
            yield first, second, there_qg.float(), back_qg.float()


def rows_of(videos: Described) -> Tensor:
    """The rows of all videos.

    Raises:
        FeatureError: If they were not kept.
    """
    if videos.frames_ND is None:
        raise FeatureError(
            "Chamfer compares rows, but only pooled descriptors were kept.",
            "Describe the videos with frames=True, or take the kind cosine.",
            code="frames",
        )
    return videos.frames_ND


def check_pair(queries: Described, gallery: Described, kind: Kind, memory_mb: float) -> None:
    """Refuse what cannot be compared.

    Raises:
        FeatureError: As `similarities`.
    """
    if kind not in KINDS:
        raise FeatureError(
            f"There is no similarity {kind!r}; there are {', '.join(KINDS)}.", code="kind"
        )
    if not memory_mb > 0:
        raise FeatureError(f"memory_mb is {memory_mb}; expected more than 0.", code="memory")
    _check_dims(queries.pooled_VD.shape[1], gallery.pooled_VD.shape[1])
    if kind != "cosine":
        one, other = rows_of(queries), rows_of(gallery)
        if one.dtype != other.dtype:
            raise FeatureError(
                f"Rows of the queries are {one.dtype}, of the gallery {other.dtype}.",
                "Describe both with the same dtype.",
                code="dtype",
            )


def _check_dims(query: int, gallery: int) -> None:
    if query != gallery:
        raise FeatureError(
            f"Queries have {query} dimensions, the gallery {gallery}.",
            "Take both from the same encoder.",
            code="shape",
        )


def _cosines(query_QD: Tensor, gallery_GD: Tensor, budget: Budget) -> Iterator[tuple[int, Tensor]]:
    """In float64, so that equal videos are equally near to the last bit, wherever they stand."""
    q = budget.strip(len(gallery_GD))
    g = max(1, budget.product // (2 * max(q, query_QD.shape[1])))
    for first in range(0, len(query_QD), q):
        query_qD = query_QD[first : first + q].double()
        strip_qG = query_QD.new_empty(len(query_qD), len(gallery_GD))
        for start in range(0, len(gallery_GD), g):
            block_gD = gallery_GD[start : start + g].double()
            strip_qG[:, start : start + g] = query_qD @ block_gD.T
        yield first, strip_qG


def _strips(
    queries: Described, gallery: Described, kind: Kind, budget: Budget
) -> Iterator[tuple[int, Tensor]]:
    query_ND, gallery_MD = rows_of(queries), rows_of(gallery)
    most = budget.rows(gallery_MD)
    blocks = cut(gallery.starts, most, gallery_MD.device)
    room = budget.room(gallery_MD, blocks)
    q, symmetric = budget.strip(len(gallery.names)), kind == "symmetric"
    for first in range(0, len(queries.names), q):
        starts = queries.starts[first : first + q + 1]
        strip_qG = queries.pooled_VD.new_empty(len(starts) - 1, len(gallery.names))
        for block in blocks:
            taken = block.take(gallery_MD)
            for query in cut(starts, most, query_ND.device):
                there_qg, back_qg = compared(query.take(query_ND), taken, room, back=symmetric)
                values_qg = (there_qg + back_qg) / 2 if symmetric else there_qg
                strip_qG[query.videos[:, None], block.videos] = values_qg.float()
        yield first, strip_qG


def _among_themselves(videos: Described, kind: Kind, budget: Budget) -> Tensor:
    """(V, V): each pair of videos gives both of its entries from one product."""
    V = len(videos.names)
    whole_VV = videos.pooled_VD.new_empty(V, V)
    for first, second, there_qg, back_qg in pairs(videos, kind, budget):
        whole_VV[first.videos[:, None], second.videos] = there_qg
        whole_VV[second.videos[:, None], first.videos] = back_qg.T
    return whole_VV

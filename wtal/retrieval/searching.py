"""The nearest videos, found in parts, so that progress shows and no large piece of rows is copied.

Shapes: Q queries, G videos that may be found, k neighbours, c candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wtal.retrieval.loading import Progress, in_a_row, taken
from wtal_features.retrieval.search import Neighbours, nearest
from wtal_features.retrieval.similarity import Described, Kind

PART = 64  # queries ranked at a time, by chamfer
COPIED = 256_000_000  # bytes of rows that are copied at a time


def parts(kind: Kind, queries: int) -> list[range]:
    """Queries to rank at a time.

    By cosine all at once: it is quick, and an index is worth its while for many queries alone.
    """
    step = max(1, queries) if kind == "cosine" else PART
    return [range(first, min(first + step, queries)) for first in range(0, queries, step)]


def neighbours(
    queries: Described,
    gallery: Described,
    kind: Kind,
    k: int,
    *,
    exclude_self: bool,
    progress: Progress,
    asking: Sequence[int] | None = None,
    among: Sequence[int] | None = None,
) -> Neighbours:
    """`nearest` for some of the videos among some.

    Args:
        queries: Q videos or more.
        gallery: G videos or more.
        kind: As there.
        k: As there.
        exclude_self: As there.
        progress: Told (done, total) queries.
        asking: Numbers of the queries; None: all.
        among: Numbers of the videos of the gallery that may be found; None: all. The result counts
            places in this list.
    """
    asking = range(len(queries.names)) if asking is None else asking
    among = range(len(gallery.names)) if among is None else among
    Q, pieces = len(asking), _pieces(gallery, among)
    found = []
    for number, piece in enumerate(pieces):
        some = taken(gallery, [among[place] for place in piece])
        near = []
        for part in parts(kind, Q):
            asked = taken(queries, [asking[place] for place in part])
            near.append(nearest(asked, some, kind, k, exclude_self=exclude_self))
            progress((number * Q + part.stop) // len(pieces), Q)
        found.append(_below(near, piece.start))
    if len(found) == 1:
        return found[0]
    return _merged(found, k, [gallery.names[place] for place in among])


def _pieces(gallery: Described, among: Sequence[int]) -> list[range]:
    """Places in `among` that are searched at a time: all of them if that takes no large copy."""
    rows_ND = gallery.frames_ND
    if rows_ND is None or in_a_row(among):
        return [range(len(among))]
    most = COPIED // (rows_ND.shape[1] * rows_ND.element_size())
    pieces, begin, rows = [], 0, 0
    for place, video in enumerate(among):
        length = gallery.starts[video + 1] - gallery.starts[video]
        if place > begin and rows + length > most:
            pieces.append(range(begin, place))
            begin, rows = place, 0
        rows += length
    return [*pieces, range(begin, len(among))]


def _below(near: Sequence[Neighbours], shift: int) -> Neighbours:
    """Those of all parts of the queries, counted from the start of all pieces."""
    # Parts differ in width where only some of the queries are videos of the gallery.
    most = max(part.indices_Qk.shape[1] for part in near)
    indices_Qk = torch.cat([_wide(part.indices_Qk, most, -1) for part in near])
    values_Qk = torch.cat([_wide(part.values_Qk, most, -torch.inf) for part in near])
    return Neighbours(torch.where(indices_Qk < 0, -1, indices_Qk + shift), values_Qk)


def _merged(found: Sequence[Neighbours], k: int, names: Sequence[str]) -> Neighbours:
    """The nearest of several pieces; of equally near ones by name, as in each."""
    indices_Qc = torch.cat([one.indices_Qk for one in found], dim=1)
    values_Qc = torch.cat([one.values_Qk for one in found], dim=1)
    order = sorted(range(len(names)), key=names.__getitem__)
    ranks_G = torch.tensor(order, device=indices_Qc.device).argsort()
    by_name_Qc = ranks_G[indices_Qc].argsort(dim=1)
    indices_Qc, values_Qc = indices_Qc.gather(1, by_name_Qc), values_Qc.gather(1, by_name_Qc)
    values_Qc, nearest_Qc = values_Qc.sort(dim=1, descending=True, stable=True)
    return Neighbours(indices_Qc.gather(1, nearest_Qc)[:, :k], values_Qc[:, :k])


def _wide(columns_qk: Tensor, k: int, fill: float) -> Tensor:
    missing = k - columns_qk.shape[1]
    return torch.nn.functional.pad(columns_qk, (0, missing), value=fill)

"""K-Means by faiss: the search for the nearest centroid; everything else is shared.

Shapes: n points of a chunk, N points, d dims, K clusters.

faiss' own `Kmeans` takes a sample of 256 points per centroid without a word, has no callback, knows
no stop by changed labels and splits a large cluster where one is empty. So only its search is used,
one pass at a time: the same start, stop, weights and repair as with PyTorch. The only file that
imports faiss, and only when it is asked for: on macOS its OpenMP runtime and PyTorch's can clash.
"""

from __future__ import annotations

import warnings
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from wtal.errors import WtalError
from wtal.kmeans.lloyd import MakeSearch, Search


def load(*, gpu: bool = False) -> Any:
    """The module faiss.

    Raises:
        WtalError: it is not installed, both of its packages are, or a GPU was asked for and faiss
            sees none.
    """
    extra, other = ("faiss-gpu", "faiss-cpu") if gpu else ("faiss", "faiss-gpu")
    if installed("faiss-cpu") and installed("faiss-gpu"):
        raise WtalError(
            "faiss-cpu and faiss-gpu are both installed and overwrite each other's files; remove "
            f"{other}: `pip uninstall faiss-cpu faiss-gpu`, then `pip install 'wtal[{extra}]'`."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # SWIG's, on newer Pythons
            import faiss
    except ImportError:
        raise WtalError(
            f"The backend {'faiss-gpu' if gpu else 'faiss'} needs a package that is not "
            f"installed; run `pip install 'wtal[{extra}]'`, or use the backend torch."
        ) from None
    if gpu and faiss.get_num_gpus() == 0:
        raise WtalError(
            "The backend faiss-gpu was asked for, but faiss sees no GPU here; use the backend "
            "torch or faiss, or install 'wtal[faiss-gpu]' in place of 'wtal[faiss]'."
        )
    return faiss


def installed(package: str) -> bool:
    """Whether a distribution of this name is there."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def make_search(backend: str, device: torch.device) -> MakeSearch:
    """A search by faiss, in the form of `wtal.kmeans.lloyd.torch_search`.

    Args:
        backend: `faiss` on the CPU or `faiss-gpu` on GPU 0, or on that of the points.
        device: of the points. With `faiss-gpu` they pass through host memory, whatever it is: data
            that stays on the device is what the backend torch is for.

    Raises:
        WtalError: as `load`; or the points are on a GPU and `faiss` would leave it idle.
    """
    gpu = backend == "faiss-gpu"
    if device.type != "cpu" and not gpu:
        raise WtalError(
            f"The points are on {device}, but the backend faiss computes on the CPU; use torch or "
            "faiss-gpu, or move the points to the CPU."
        )
    faiss = load(gpu=gpu)
    resources = faiss.StandardGpuResources() if gpu else None

    def make(centroids_Kd: Tensor) -> Search:
        index = faiss.IndexFlatL2(centroids_Kd.shape[1])
        if gpu:
            # One GPU by number: faiss' switch gpu=1 would take all of them, since 1 == True.
            index = faiss.index_cpu_to_gpu(resources, device.index or 0, index)
        index.add(centroids_Kd.cpu().contiguous().numpy())

        def search(x_nd: Tensor) -> Tensor:
            _, labels_n1 = index.search(x_nd.float().cpu().contiguous().numpy(), 1)
            return torch.from_numpy(labels_n1[:, 0]).to(x_nd.device)

        return search

    return make


def own_kmeans(
    x_Nd: Tensor,
    k: int,
    *,
    iters: int,
    init: Tensor | None = None,
    points_per_centroid: int | None = None,
    gpu: bool = False,
) -> Tensor:
    """The loop of faiss itself, every setting spelled out: what the backends are held against.

    Args:
        x_Nd: fp32.
        k: clusters.
        iters: updates.
        init: (k, d) centroids; without them random points.
        points_per_centroid: size of its sample, over k; without it all points.
        gpu: on GPU 0.

    Returns:
        (k, d) centroids.
    """
    faiss = load(gpu=gpu)
    kmeans = faiss.Kmeans(
        x_Nd.shape[1],
        k,
        niter=iters,
        nredo=1,
        verbose=False,
        spherical=False,
        seed=1234,
        min_points_per_centroid=1,
        max_points_per_centroid=points_per_centroid or len(x_Nd),
        gpu=[0] if gpu else False,
    )
    kmeans.train(x_Nd.cpu().numpy(), init_centroids=None if init is None else init.cpu().numpy())
    return torch.from_numpy(kmeans.centroids)

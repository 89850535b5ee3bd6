"""What CMD trains: a video network that must tell its scene and foresee its motion.

Context: the clip finds its own I-frame among those of the batch. Motion: from the clip, a
transformer predicts how each place will look in the motion that follows, and finds it among all
places of all motion clips. Both tasks read one map of the video network, in which the two last
layers are added up. After training the video network alone is kept, with layer 4 as its output.

Shapes: B videos, m other motion clips of each, C channels, T frames, H x W pixels; K and P places
of the maps of video and motion, by t, y, x; d = 512 dims of the transformer and D = 512 dims of an
embedding at width 1.

Source: CMD (CVPR 2021); foolwood/DRL@9bd1768 Context-Motion-Decoupling/pretrain.py, whose modules
have these names: a file of its pre-training fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.contrast.pointwise import point_logits
from wtal_features.encoders.c3d import C3D
from wtal_features.encoders.motion_predictor import MotionTransformer, linear, positions
from wtal_features.encoders.r2plus1d26 import R3D26, Axes, R2Plus1D26, ResNet26
from wtal_features.encoders.r3d10 import R2D10, R3D10
from wtal_features.encoders.widths import scaled
from wtal_features.errors import FeatureError

VIDEO_NETWORKS: Mapping[str, type[R2Plus1D26] | type[R3D26] | type[C3D]] = {
    "r2plus1d26": R2Plus1D26,
    "r3d26": R3D26,
    "c3d": C3D,
}
# From frames and pixels to places: of the added maps, of C3D's, and of the M-net's.
_STRIDES: Axes = (8, 16, 16)


class CMDEmbeddings(NamedTuple):
    """What one forward pass gives; rows of length one. Points by t, y, x."""

    predicted_BPD: Tensor  # the motion that the clip lets expect
    target_BPD: Tensor  # the motion that followed
    others_BmPD: Tensor  # motion elsewhere in the video
    context_query_BD: Tensor  # the clip
    context_key_BD: Tensor  # its I-frame


class CMDLosses(NamedTuple):
    """Scalars of one batch; the losses have gradients."""

    motion: Tensor
    context: Tensor
    motion_top1: Tensor  # share of points that find their own before all others
    context_top1: Tensor  # share of clips that do


def fuse(third_BCTHW: Tensor, fourth_BCTHW: Tensor) -> Tensor:
    """The sum of the maps of two layers, at the places of the finer one and the times of the other.

    Layer 4 is repeated over the pixels of layer 3 (nearest). Two slices of layer 3 in time become
    one with twice the channels: first those of the even slice, then those of the odd. The last of
    an odd number of slices is its own neighbour; the public code cannot add up such clips.

    Args:
        third_BCTHW: Of layer 3, (B, C/2, T3, H3, W3).
        fourth_BCTHW: Of layer 4, (B, C, T3/2 rounded up, H4, W4).

    Returns:
        (B, C, T3/2 rounded up, H3, W3).
    """
    even, odd = third_BCTHW[:, :, 0::2], third_BCTHW[:, :, 1::2]
    if odd.shape[2] < even.shape[2]:
        odd = torch.cat([odd, even[:, :, -1:]], dim=2)
    pairs = torch.cat([even, odd], dim=1)
    return F.interpolate(fourth_BCTHW, pairs.shape[2:], mode="nearest") + pairs


class CMDNet(nn.Module):
    """The three networks of CMD, the transformer between them, and four heads.

    Args:
        network: Of the video: a name of `VIDEO_NETWORKS`.
        width: Multiplies every number of channels; 1 is the published network. The residual
            networks need one at which layer 4 is twice as wide as layer 3: all multiples of 1/32.
        clip: Frames, height and width of the RGB clips.
        motion: Frames, height and width of the motion clips.
        generator: Draws the initial weights.

    Raises:
        FeatureError: If the name is unknown, the width unfit, or a clip too small for a map.
    """

    def __init__(
        self,
        network: str = "r2plus1d26",
        width: float = 1.0,
        *,
        clip: Axes = (16, 112, 112),
        motion: Axes = (8, 112, 112),
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        _check_network(network, width)
        self.clip, self.motion = clip, motion
        dim, draws = scaled(512, width), generator
        self.rgb_backbone = VIDEO_NETWORKS[network](width=width, generator=draws)
        self.m_backbone = R3D10(width=width, generator=draws)
        self.i_backbone = R2D10(width=width, generator=draws)
        self.fc = linear(self.rgb_backbone.dim, dim, draws, bias=False)
        keys = _places("RGB", clip, rounded_up=network != "c3d")
        self.k_embedding = positions(math.prod(keys), dim, draws)
        queries = _places("motion", motion, rounded_up=True)
        self.q_embedding = positions(math.prod(queries), dim, draws)
        self.transformer = MotionTransformer(dim, draws)
        self.mq_head = _head(dim, width, draws)
        self.mk_head = _head(self.m_backbone.dim, width, draws)
        self.iq_head = _head(self.rgb_backbone.dim, width, draws)
        self.ik_head = _head(self.i_backbone.dim, width, draws)

    def forward(
        self,
        clip_B3THW: Tensor,
        i_frame_B3hw: Tensor,
        target_B2THW: Tensor,
        others_Bm2THW: Tensor,
        generator: torch.Generator | None = None,
    ) -> CMDEmbeddings:
        """Embeddings of both tasks.

        Args:
            clip_B3THW: RGB clips, of the size that the constructor was told.
            i_frame_B3hw: An I-frame near each, of any size.
            target_B2THW: Motion behind each, likewise of the told size; channels dx, dy.
            others_Bm2THW: Motion elsewhere in each video, m clips; m may be 0.
            generator: Draws the dropout of training; without it nothing is dropped.

        Raises:
            FeatureError: If clips have other sizes than the positions were made for.
        """
        self._check_sizes(clip_B3THW, target_B2THW, others_Bm2THW)
        fused_BCTHW = self.fused(clip_B3THW)
        predicted_BPd = self.predicted(fused_BCTHW, generator)
        # One batch of all motion clips: BatchNorm sees targets and others alike.
        motion_BnCTHW = torch.cat([target_B2THW[:, None], others_Bm2THW], dim=1)
        B, n = motion_BnCTHW.shape[:2]
        maps_NCP = self.m_backbone(motion_BnCTHW.flatten(0, 1)).flatten(2)
        points_NPD = _embedded(self.mk_head, maps_NCP)
        motion_BnPD = points_NPD.reshape(B, n, *points_NPD.shape[1:])
        context_BC1 = fused_BCTHW.mean(dim=(2, 3, 4))[:, :, None]
        image_BC1 = self.i_backbone(i_frame_B3hw[:, :, None]).mean(dim=(2, 3, 4))[:, :, None]
        return CMDEmbeddings(
            predicted_BPD=_embedded(self.mq_head, predicted_BPd.transpose(1, 2)),
            target_BPD=motion_BnPD[:, 0],
            others_BmPD=motion_BnPD[:, 1:],
            context_query_BD=_embedded(self.iq_head, context_BC1).squeeze(1),
            context_key_BD=_embedded(self.ik_head, image_BC1).squeeze(1),
        )

    def fused(self, clip_B3THW: Tensor) -> Tensor:
        """The map that both tasks read: layers 3 and 4 of a residual network, or C3D's own."""
        if isinstance(self.rgb_backbone, ResNet26):
            return fuse(*self.rgb_backbone.stages(clip_B3THW))
        maps_BCTHW: Tensor = self.rgb_backbone(clip_B3THW)
        return maps_BCTHW

    def predicted(self, fused_BCTHW: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The map of the video -> (B, P, d), what the transformer expects at each place."""
        tokens_BKd = self.fc(fused_BCTHW.flatten(2).transpose(1, 2))
        q_place_Pd, k_place_Kd = self.q_embedding.weight, self.k_embedding.weight
        predicted_BPd: Tensor = self.transformer(tokens_BKd, q_place_Pd, k_place_Kd, generator)
        return predicted_BPd

    def _check_sizes(self, clip: Tensor, target: Tensor, others: Tensor) -> None:
        found = tuple(clip.shape[2:]), tuple(target.shape[2:]), tuple(others.shape[3:])
        if found != (self.clip, self.motion, self.motion):
            raise FeatureError(
                f"CMD was given clips, motion and other motion of (frames, height, width) "
                f"{found[0]}, {found[1]} and {found[2]}; its positions are made for clips of "
                f"{self.clip} and motion of {self.motion}.",
                code="clip",
            )


def cmd_losses(embeddings: CMDEmbeddings, temperature: float = 0.1) -> CMDLosses:
    """Pointwise InfoNCE of both tasks, against the batch of all processes.

    The published total is the plain sum of the two losses. Where nothing is told apart they are
    log((1 + m) P B) and log(B).

    Args:
        embeddings: Of one forward pass.
        temperature: T.

    Source: CMD (CVPR 2021); foolwood/DRL Context-Motion-Decoupling/pretrain.py.
    """
    predicted_BPD, target_BPD, others_BmPD, query_BD, key_BD = embeddings
    targets_RD = torch.cat([target_BPD.flatten(0, 1), others_BmPD.flatten(0, 2)])
    motion, motion_top1 = _contrast(predicted_BPD.flatten(0, 1), targets_RD, temperature)
    context, context_top1 = _contrast(query_BD, key_BD, temperature)
    return CMDLosses(motion, context, motion_top1, context_top1)


def _contrast(queries_MD: Tensor, targets_RD: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """`pointwise_infonce`, and how often the positive wins; a tie is no win."""
    logits_MR, own_M = point_logits(queries_MD, targets_RD, temperature)
    not_below_M = (logits_MR >= logits_MR.gather(1, own_M[:, None])).sum(1)
    return F.cross_entropy(logits_MR, own_M), (not_below_M == 1).float().mean()


def _head(dim_in: int, width: float, generator: torch.Generator) -> nn.Sequential:
    """dim_in -> 2048 -> BN -> ReLU -> D -> BN, each point by itself."""
    hidden, dim = scaled(2048, width), scaled(512, width)
    return nn.Sequential(
        _pointwise(dim_in, hidden, generator, bias=True),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        _pointwise(hidden, dim, generator, bias=False),
        nn.BatchNorm1d(dim),
    )


def _pointwise(c_in: int, c_out: int, generator: torch.Generator, *, bias: bool) -> nn.Conv1d:
    """A convolution over one point, drawn as CMD draws all of its own: N(0, 2 / fan out)."""
    conv = nn.Conv1d(c_in, c_out, 1, bias=bias, device="meta")
    conv.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _embedded(head: nn.Sequential, points_BCP: Tensor) -> Tensor:
    """(B, C, P) -> (B, P, D), rows of length one."""
    return F.normalize(head(points_BCP), dim=1).transpose(1, 2)


def _places(kind: str, sizes: Axes, *, rounded_up: bool) -> Axes:
    """Size of the map of a clip of these frames, height and width."""
    T, H, W = (
        -(-size // stride) if rounded_up else size // stride
        for size, stride in zip(sizes, _STRIDES, strict=True)
    )
    if min(T, H, W) < 1:
        raise FeatureError(
            f"{kind} clips of (frames, height, width) {sizes} leave no map; "
            f"expected at least {_STRIDES if not rounded_up else (1, 1, 1)}.",
            code="option",
        )
    return T, H, W


def _check_network(network: str, width: float) -> None:
    if network not in VIDEO_NETWORKS:
        raise FeatureError(
            f"CMD has no video network {network!r}; expected {', '.join(VIDEO_NETWORKS)}.",
            code="option",
        )
    if network != "c3d" and 2 * scaled(256, width) != scaled(512, width):
        raise FeatureError(
            f"At width {width} layer 4 of {network} is not twice as wide as layer 3, and CMD "
            "cannot add up their maps.",
            "Take a multiple of 1/32, such as 0.25.",
            code="option",
        )

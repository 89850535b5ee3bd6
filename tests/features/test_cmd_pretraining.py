"""CMD's pre-training: sizes, the added maps, positions, dropout, and who learns from which loss."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.contrast.pointwise import pointwise_infonce
from wtal_features.encoders.cmd_pretraining import (
    VIDEO_NETWORKS,
    CMDEmbeddings,
    CMDNet,
    cmd_losses,
    fuse,
)
from wtal_features.encoders.motion_predictor import (
    Attention,
    Decoder,
    Encoder,
    MotionTransformer,
    dropped,
)
from wtal_features.encoders.r2plus1d26 import R2Plus1D26
from wtal_features.errors import FeatureError

torch.set_num_threads(1)

B, M = 3, 2  # videos, other motion clips of each
CLIP, MOTION = (16, 32, 48), (9, 32, 48)  # maps of 2 x 2 x 3 places each

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(network: str = "r2plus1d26", seed: int = 0) -> CMDNet:
    """A narrow network, none of whose weights is zero: blocks are more than their shortcuts."""
    net = CMDNet(network, 0.125, clip=CLIP, motion=MOTION, generator=seeded(seed))
    scatter(net, seed)
    return net


def scatter(net: nn.Module, seed: int = 0) -> None:
    """Move biases, norms and the narrow N(0, 0.01) away from their initial values."""
    draws = seeded(seed)
    for parameter in net.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(0.5, 1.5, generator=draws)
        elif parameter.ndim == 2:
            parameter.data.normal_(std=len(parameter) ** -0.5, generator=draws)


def inputs(seed: int = 1, m: int = M) -> Inputs:
    draws = seeded(seed)
    return (
        torch.randn(B, 3, *CLIP, generator=draws),
        torch.randn(B, 3, 32, 40, generator=draws),
        torch.randn(B, 2, *MOTION, generator=draws),
        torch.randn(B, m, 2, *MOTION, generator=draws),
    )


def unit(*shape: int, seed: int = 0) -> Tensor:
    """Random float64 rows of length one."""
    return F.normalize(torch.randn(*shape, generator=seeded(seed), dtype=torch.float64), dim=-1)


def some_embeddings() -> CMDEmbeddings:
    """Of 2 videos with 3 points and 2 other clips, 4 dims."""
    return CMDEmbeddings(
        unit(2, 3, 4, seed=1),
        unit(2, 3, 4, seed=2),
        unit(2, 2, 3, 4, seed=3),
        unit(2, 4, seed=4),
        unit(2, 4, seed=5),
    )


# Sizes and names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "whole", "dim"),
    [
        ("r2plus1d26", 72_126_991, 2048),
        ("r3d26", 72_118_272, 2048),
        ("c3d", 69_348_800, 512),
    ],
)
def test_the_published_training_has_its_published_size(network: str, whole: int, dim: int) -> None:
    net = CMDNet(network, generator=seeded())
    assert sum(p.numel() for p in net.parameters()) == whole
    assert sum(p.numel() for p in net.transformer.parameters()) == 13_674_496
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert shapes["fc.weight"] == (512, dim)
    assert shapes["k_embedding.weight"] == (98, 512)
    assert shapes["q_embedding.weight"] == (49, 512)
    assert shapes["iq_head.0.weight"] == (2048, dim, 1)
    assert shapes["mq_head.3.weight"] == (512, 2048, 1)


def test_modules_have_the_published_names() -> None:
    def under(prefix: str, *names: str) -> set[str]:
        return {f"{prefix}.{name}" for name in names}

    both, attention = ("weight", "bias"), ("in_proj_weight", "in_proj_bias")
    expected = {"fc.weight", "k_embedding.weight", "q_embedding.weight"}
    for half, layers, norms in (("encoder", 2, 2), ("decoder", 4, 3)):
        for i in range(layers):
            layer = f"transformer.{half}.layers.{i}"
            for name in ("self_attn", "cross_attn")[: norms - 1]:
                expected |= under(f"{layer}.{name}", *attention)
                expected |= under(f"{layer}.{name}.out_proj", *both)
            for name in ("fc1", "fc2", *(f"norm{n + 1}" for n in range(norms))):
                expected |= under(f"{layer}.{name}", *both)
    for head in ("mq_head", "mk_head", "iq_head", "ik_head"):
        expected |= under(head, "0.weight", "0.bias", "3.weight")
        for norm in ("1", "4"):
            statistics = ("running_mean", "running_var", "num_batches_tracked")
            expected |= under(f"{head}.{norm}", *both, *statistics)
    names = set(small().state_dict())
    backbones = ("rgb_backbone.", "m_backbone.", "i_backbone.")
    assert {name for name in names if not name.startswith(backbones)} == expected
    assert sum(name.startswith("rgb_backbone.") for name in names) == 228


@torch.no_grad()
@pytest.mark.parametrize("network", VIDEO_NETWORKS)
def test_embeddings_are_points_of_length_one(network: str) -> None:
    embeddings = small(network)(*inputs())
    assert [tuple(e.shape) for e in embeddings] == [
        (B, 12, 64),
        (B, 12, 64),
        (B, M, 12, 64),
        (B, 64),
        (B, 64),
    ]
    for rows in embeddings:
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(rows.shape[:-1]))


@torch.no_grad()
@pytest.mark.parametrize("network", VIDEO_NETWORKS)
@pytest.mark.parametrize("clip", [(16, 32, 32), (12, 40, 56), (9, 33, 31), (24, 17, 64)])
def test_there_is_a_position_for_every_place_of_the_maps(
    network: str, clip: tuple[int, int, int]
) -> None:
    net = CMDNet(network, 0.125, clip=clip, motion=clip, generator=seeded()).eval()
    places = net.fused(torch.zeros(1, 3, *clip)).shape[2:]
    assert net.k_embedding.num_embeddings == places.numel()
    places = net.m_backbone(torch.zeros(1, 2, *clip)).shape[2:]
    assert net.q_embedding.num_embeddings == places.numel()


def test_a_video_without_other_motion_can_be_trained_on() -> None:
    embeddings = small()(*inputs(m=0))
    assert embeddings.others_BmPD.shape == (B, 0, 12, 64)
    assert cmd_losses(embeddings).motion.isfinite()


# The added maps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [4, 3, 1])
def test_layer_4_is_repeated_in_space_and_layer_3_is_stacked_in_time(slices: int) -> None:
    halved = -(-slices // 2)
    third = torch.randn(2, 2, slices, 5, 3, generator=seeded(1))
    fourth = torch.randn(2, 4, halved, 3, 2, generator=seeded(2))
    fused = fuse(third, fourth)
    assert fused.shape == (2, 4, halved, 5, 3)
    for t in range(halved):
        even, odd = 2 * t, min(2 * t + 1, slices - 1)  # the last slice is its own neighbour
        for y, row in enumerate((0, 0, 1, 1, 2)):  # floor(3 y / 5)
            for x, column in enumerate((0, 0, 1)):  # floor(2 x / 3)
                stacked = torch.cat([third[:, :, even, y, x], third[:, :, odd, y, x]], dim=1)
                expected = fourth[:, :, t, row, column] + stacked
                assert torch.equal(fused[:, :, t, y, x], expected)


@torch.no_grad()
def test_both_tasks_read_the_added_map() -> None:
    net = small().eval()
    clip, i_frame, target, others = inputs()
    assert isinstance(net.rgb_backbone, R2Plus1D26)
    fused = fuse(*net.rgb_backbone.stages(clip))
    embeddings = net(clip, i_frame, target, others)
    points = net.mq_head(net.predicted(fused).transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(embeddings.predicted_BPD, F.normalize(points, dim=2))
    query = net.iq_head(fused.flatten(2).mean(2)[:, :, None])[:, :, 0]
    torch.testing.assert_close(embeddings.context_query_BD, F.normalize(query, dim=1))


@torch.no_grad()
def test_c3d_feeds_both_tasks_with_its_own_map() -> None:
    net = small("c3d").eval()
    clip = inputs()[0]
    assert torch.equal(net.fused(clip), net.rgb_backbone(clip))


# Points ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_points_of_the_video_stand_in_the_order_t_y_x() -> None:
    net = small().eval()
    fused = net.fused(inputs()[0])
    seen: list[Tensor] = []
    net.fc.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net.predicted(fused)
    T, H, W = fused.shape[2:]
    assert (T, H, W) == (2, 2, 3)
    for t in range(T):
        for y in range(H):
            for x in range(W):
                assert torch.equal(seen[0][:, (t * H + y) * W + x], fused[:, :, t, y, x])


@torch.no_grad()
def test_points_of_motion_stand_in_the_order_t_y_x_and_by_their_clips() -> None:
    net = small().eval()
    clip, i_frame, target, others = inputs()
    embeddings = net(clip, i_frame, target, others)
    for b in range(B):
        for n, motion in enumerate([target[b], *others[b]]):
            found = embeddings.target_BPD[b] if n == 0 else embeddings.others_BmPD[b, n - 1]
            alone = net.m_backbone(motion[None])[0]
            points = [alone[:, t, y, x] for t in range(2) for y in range(2) for x in range(3)]
            rows = net.mk_head(torch.stack(points)[:, :, None])[:, :, 0]
            torch.testing.assert_close(found, F.normalize(rows, dim=1))


@torch.no_grad()
def test_the_norms_of_a_motion_head_see_all_points_of_the_batch() -> None:
    net = small().double()
    clip, i_frame, target, others = (x.double() for x in inputs())
    found = net(clip, i_frame, target, others).predicted_BPD
    points_BPd = net.predicted(net.fused(clip))
    rows = net.mq_head(points_BPd.reshape(-1, 64, 1))[:, :, 0]
    expected = F.normalize(rows, dim=1).reshape(B, 12, 64)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    one = net.mq_head(points_BPd[:1].transpose(1, 2)).transpose(1, 2)
    assert (found[:1] - F.normalize(one, dim=2)).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("network", VIDEO_NETWORKS)
def test_in_evaluation_a_video_does_not_depend_on_its_companions(network: str) -> None:
    net = small(network).eval()
    together = net(*inputs())
    for b in range(B):
        alone = net(*(x[b : b + 1] for x in inputs()))
        for one, of_all in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], of_all[b], atol=1e-5, rtol=1e-4)


# The transformer ---------------------------------------------------------------------------------


def transformer(dim: int = 16) -> MotionTransformer:
    net = MotionTransformer(dim, seeded())
    scatter(net)
    return net.double()


def layers(half: Encoder | Decoder) -> list[Any]:
    return list(half.layers)


def points(dim: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of 2 clips at 6 key points, positions of 4 query points and of the key points."""
    draws = seeded(7)
    sizes = ((2, 6, dim), (4, dim), (6, dim))
    tokens, q_place, k_place = (
        torch.randn(*s, generator=draws, dtype=torch.float64) for s in sizes
    )
    return tokens, q_place, k_place


def theirs(ours: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's attention with the same weights."""
    dim = q.shape[2]
    attention = nn.MultiheadAttention(dim, 8, batch_first=True, device="meta", dtype=q.dtype)
    attention.load_state_dict(ours.state_dict(), assign=True)
    mean: Tensor = attention(q, k, v, need_weights=False)[0]
    return mean


@torch.no_grad()
def test_attention_is_pytorchs() -> None:
    attention = Attention(16, seeded()).double()
    scatter(attention)
    q, k, v = (torch.randn(2, n, 16, generator=seeded(n), dtype=torch.float64) for n in (4, 6, 6))
    torch.testing.assert_close(attention(q, k, v, None), theirs(attention, q, k, v))


@torch.no_grad()
def test_positions_are_added_to_queries_and_keys_and_never_to_values() -> None:
    net = transformer()
    tokens, q_place, k_place = points()
    memory = tokens
    for layer in layers(net.encoder):
        placed = memory + k_place
        memory = layer.norm1(memory + theirs(layer.self_attn, placed, placed, memory))
        memory = layer.norm2(memory + layer.fc2(layer.fc1(memory).relu()))
    x = torch.zeros(2, 4, 16, dtype=torch.float64)
    for layer in layers(net.decoder):
        placed = x + q_place
        x = layer.norm1(x + theirs(layer.self_attn, placed, placed, x))
        x = layer.norm2(x + theirs(layer.cross_attn, x + q_place, memory + k_place, memory))
        x = layer.norm3(x + layer.fc2(layer.fc1(x).relu()))
    torch.testing.assert_close(net(tokens, q_place, k_place), x)


@torch.no_grad()
def test_key_points_are_known_by_their_positions_alone() -> None:
    net, order = transformer(), torch.tensor([5, 0, 3, 1, 4, 2])
    tokens, q_place, k_place = points()
    first = net(tokens, q_place, k_place)
    torch.testing.assert_close(net(tokens[:, order], q_place, k_place[order]), first)
    assert (net(tokens[:, order], q_place, k_place) - first).abs().max() > 0.01


@torch.no_grad()
def test_query_points_are_known_by_their_positions_alone() -> None:
    net, order = transformer(), torch.tensor([2, 0, 3, 1])
    tokens, q_place, k_place = points()
    first = net(tokens, q_place, k_place)
    torch.testing.assert_close(net(tokens, q_place[order], k_place), first[:, order])
    torch.testing.assert_close(
        net(tokens, q_place[:1].expand(4, -1), k_place).std(1).max(),
        torch.zeros((), dtype=torch.float64),
    )


# Dropout -----------------------------------------------------------------------------------------


def test_dropout_is_the_generators_and_off_without_one() -> None:
    net = transformer().train()
    args = points()
    once, again, other = (net(*args, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.allclose(once, other)
    without = net(*args)
    assert not torch.allclose(once, without)
    assert torch.equal(without, net.eval()(*args))


def test_evaluation_draws_nothing_from_the_generator() -> None:
    net, generator = transformer().eval(), seeded(1)
    before = generator.get_state()
    assert torch.equal(net(*points(), generator), net(*points()))
    assert torch.equal(generator.get_state(), before)


def test_the_generator_of_a_training_step_reaches_the_predicted_motion_alone() -> None:
    net = small().train()
    one, two = net(*inputs(), seeded(1)), net(*inputs(), seeded(2))
    assert not torch.allclose(one.predicted_BPD, two.predicted_BPD)
    for first, second in zip(one[1:], two[1:], strict=True):
        assert torch.equal(first, second)


def test_dropout_loses_a_tenth_and_keeps_the_mean() -> None:
    x = torch.full((100_000,), 9.0)
    y = dropped(x, seeded())
    torch.testing.assert_close(y, (y > 0) * 10.0)
    assert (y == 0).float().mean().item() == pytest.approx(0.1, abs=0.004)  # 4 sigma
    assert dropped(x, None) is x


@torch.no_grad()
def test_dropout_acts_on_the_weights_of_the_attention() -> None:
    attention = Attention(16, seeded())
    scatter(attention)
    q = torch.randn(1, 4, 16, generator=seeded(1))
    k = torch.randn(1, 6, 16, generator=seeded(2))
    v = torch.randn(1, 1, 16, generator=seeded(3)).expand(-1, 6, -1)  # all means are the same
    whole, lossy = attention(q, k, v, None), attention(q, k, v, seeded())
    torch.testing.assert_close(whole, whole[:, :1].expand_as(whole))
    assert (lossy - lossy[:, :1]).abs().max() > 0.1


@pytest.mark.parametrize("layer", ["encoder", "decoder"])
def test_dropout_acts_at_every_published_place_of_a_layer(
    monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    shapes: list[tuple[int, ...]] = []

    def record(x: Tensor, draws: torch.Generator | None) -> Tensor:
        assert draws is not None
        shapes.append(tuple(x.shape))
        return x

    monkeypatch.setattr("wtal_features.encoders.motion_predictor.dropped", record)
    net = transformer().train()
    net(*points(), seeded())
    of_encoder = [(2, 8, 6, 6), *[(2, 6, 16)] * 3] * 2
    of_decoder = [(2, 8, 4, 4), (2, 4, 16), (2, 8, 4, 6), *[(2, 4, 16)] * 3] * 4
    expected = {"encoder": of_encoder, "decoder": of_decoder}
    found = {"encoder": shapes[: len(of_encoder)], "decoder": shapes[len(of_encoder) :]}
    assert found[layer] == expected[layer]


# Random numbers and initial weights --------------------------------------------------------------


@pytest.mark.parametrize("network", VIDEO_NETWORKS)
def test_no_random_number_comes_from_elsewhere(network: str) -> None:
    before = torch.get_rng_state()
    one, again, other = (
        CMDNet(network, 0.125, clip=CLIP, motion=MOTION, generator=seeded(s)) for s in (1, 1, 2)
    )
    torch.autograd.backward(cmd_losses(one(*inputs(), seeded())).motion)
    assert torch.equal(torch.get_rng_state(), before)
    states = [torch.cat([p.flatten() for p in net.parameters()]) for net in (one, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_initial_weights_are_the_published_ones() -> None:
    net = CMDNet(width=0.5, clip=CLIP, motion=MOTION, generator=seeded())
    for table in (net.k_embedding.weight, net.q_embedding.weight):
        assert 0 <= table.min() < 0.01
        assert 0.99 < table.max() <= 1
        assert table.mean().item() == pytest.approx(0.5, abs=0.03)
    linears = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert len(linears) == 1 + 2 * 3 + 4 * 4  # fc; of each layer fc1, fc2 and out projections
    for layer in linears:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert layer.bias is None or not layer.bias.any()
    for module in net.modules():
        if isinstance(module, Attention):
            bound = math.sqrt(6 / (256 + 3 * 256))  # xavier, of the three matrices as one
            assert module.in_proj_weight.abs().max().item() == pytest.approx(bound, rel=0.001)
            assert module.in_proj_weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
            assert not module.in_proj_bias.any()
        elif isinstance(module, nn.Conv1d):
            variance = 2 / module.weight.shape[0]
            assert module.weight.var().item() == pytest.approx(variance, rel=0.03)
            assert module.bias is None or not module.bias.any()


# Gradients ---------------------------------------------------------------------------------------

OF_MOTION = ("m_backbone", "fc", "k_embedding", "q_embedding", "transformer", "mq_head", "mk_head")
OF_CONTEXT = ("i_backbone", "iq_head", "ik_head")
# They add the same to all points, in front of a BatchNorm that takes it out again.
IDLE = {f"{kind}_head.0.bias" for kind in ("mq", "mk", "iq", "ik")}
IDLE |= {"transformer.decoder.layers.3.norm3.bias"}


@pytest.mark.parametrize(
    ("task", "own", "foreign"),
    [("motion", OF_MOTION, OF_CONTEXT), ("context", OF_CONTEXT, OF_MOTION)],
)
def test_each_loss_reaches_its_own_parts_and_the_video_network(
    task: str, own: tuple[str, ...], foreign: tuple[str, ...]
) -> None:
    net = small().train()
    losses = cmd_losses(net(*inputs(), seeded(2)))
    torch.autograd.backward(getattr(losses, task))
    reached = dict.fromkeys((*own, "rgb_backbone"), False)
    for name, parameter in net.named_parameters():
        part = name.split(".")[0]
        if part in foreign:
            assert parameter.grad is None, name
        elif name not in IDLE:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-6, name
            reached[part] = True
    assert all(reached.values())


def test_gradients_flow_into_both_sides_and_into_other_motion() -> None:
    embeddings = CMDEmbeddings(*(rows.requires_grad_() for rows in some_embeddings()))
    losses = cmd_losses(embeddings)
    torch.autograd.backward([losses.motion, losses.context])
    for rows in embeddings:
        assert rows.grad is not None
        assert rows.grad.abs().amax(-1).min() > 0


def test_the_first_values_of_the_decoder_are_learned_by_their_bias_alone() -> None:
    net = transformer().train()
    net(*points(), seeded()).square().mean().backward()
    for i, layer in enumerate(layers(net.decoder)):
        gradient = layer.self_attn.in_proj_weight.grad[2 * 16 :]
        assert gradient.any() == (i > 0)
        assert layer.self_attn.in_proj_bias.grad[2 * 16 :].all()


# Losses ------------------------------------------------------------------------------------------


def plain_infonce(queries: Tensor, targets: Tensor, temperature: float) -> float:
    """Row i of the queries belongs to row i of the targets."""
    total = 0.0
    for i, q in enumerate(queries):
        logits = [float(q @ k) / temperature for k in targets]
        total += math.log(sum(math.exp(logit) for logit in logits)) - logits[i]
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_losses_are_those_of_a_plain_loop(temperature: float) -> None:
    e = some_embeddings()
    predicted = torch.stack([e.predicted_BPD[b, p] for b in range(2) for p in range(3)])
    targets = [e.target_BPD[b, p] for b in range(2) for p in range(3)]
    others = [e.others_BmPD[b, n, p] for b in range(2) for n in range(2) for p in range(3)]
    losses = cmd_losses(e, temperature)
    rows = torch.stack(targets + others)
    expected = plain_infonce(predicted, rows, temperature)
    assert losses.motion.item() == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(losses.motion, pointwise_infonce(predicted, rows, temperature))
    expected = plain_infonce(e.context_query_BD, e.context_key_BD, temperature)
    assert losses.context.item() == pytest.approx(expected, abs=1e-9)


def test_the_published_temperature_is_the_default() -> None:
    assert cmd_losses(some_embeddings()) == cmd_losses(some_embeddings(), 0.1)


def test_other_motion_is_negative_whatever_its_order() -> None:
    e = some_embeddings()
    swapped = e._replace(others_BmPD=e.others_BmPD.flip(0, 1, 2))
    torch.testing.assert_close(cmd_losses(swapped).motion, cmd_losses(e).motion)
    without = e._replace(others_BmPD=e.others_BmPD[:, :0])
    assert cmd_losses(without).motion < cmd_losses(e).motion


def test_equal_embeddings_are_at_chance_and_hit_nothing() -> None:
    same = unit(1, 64).expand
    embeddings = CMDEmbeddings(
        same(2, 49, 64), same(2, 49, 64), same(2, 3, 49, 64), same(2, 64), same(2, 64)
    )
    losses = cmd_losses(embeddings)
    assert losses.motion.item() == pytest.approx(math.log(196 * 2))
    assert losses.context.item() == pytest.approx(math.log(2))
    assert losses.motion_top1 == losses.context_top1 == 0


def test_top1_is_the_share_of_points_that_find_their_own() -> None:
    points_PD = torch.eye(8)
    target = torch.stack([points_PD[:3], points_PD[3:6]])
    predicted = target.clone()
    predicted[1, 2] = points_PD[6]  # looks like other motion
    predicted[0, 0] = points_PD[4]  # looks like a point of the other video
    others = points_PD[6:].repeat(2, 1, 2)[:, None, :1].expand(2, 1, 3, -1)[..., :8]
    keys = points_PD[:2]
    losses = cmd_losses(CMDEmbeddings(predicted, target, others, keys.flip(0), keys))
    assert losses.motion_top1.item() == pytest.approx(4 / 6)
    assert losses.context_top1 == 0
    right = cmd_losses(CMDEmbeddings(target, target, others, keys, keys))
    assert right.motion_top1 == right.context_top1 == 1


# Faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CMDNet("s3d", generator=seeded()), "no video network 's3d'; expected r2plus1d26"),
        (lambda: CMDNet(width=0.05, generator=seeded()), "not twice as wide.*1/32"),
        (lambda: CMDNet("c3d", 0.125, clip=(7, 32, 32), generator=seeded()), r"\(7, 32, 32\)"),
        (lambda: CMDNet("c3d", 0, generator=seeded()), "width of the network is 0"),
    ],
)
def test_networks_that_cannot_be_are_refused(build: Callable[[], CMDNet], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        build()


@pytest.mark.parametrize("which", [0, 2, 3])
def test_clips_of_another_size_than_the_positions_are_refused(which: int) -> None:
    given = list(inputs())
    given[which] = given[which][..., :-1]
    with pytest.raises(FeatureError, match=r"positions are made for clips of \(16, 32, 48\)"):
        small()(*given)

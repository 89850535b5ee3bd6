"""TCA's transformer: the published layer, blind to padding and to order."""

import pytest
import torch
from torch import Tensor, nn

from wtal_features.errors import FeatureError
from wtal_features.retrieval.aggregator import TCA, _dropped, pooled


def small(layers: int = 1, dropout: float = 0.2) -> TCA:
    return TCA(16, 4, 32, layers, dropout, generator=torch.Generator().manual_seed(0)).eval()


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_published_layer_has_8399872_parameters_in_12_tensors() -> None:
    network = TCA(1024, generator=torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in network.parameters()) == 8_399_872
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    layer = "transformer_encoder.layers.0."
    assert len(shapes) == 12
    assert shapes[layer + "self_attn.in_proj_weight"] == (3072, 1024)
    assert shapes[layer + "linear1.weight"] == (2048, 1024)
    assert network(random(2, 5, 1024)).shape == (2, 5, 1024)


@pytest.mark.parametrize("layers", [1, 3])
def test_it_computes_what_torchs_own_encoder_computes_from_the_same_tensors(layers: int) -> None:
    ours, x = small(layers), random(3, 7, 16)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    theirs = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).eval()
    theirs.load_state_dict(ours.transformer_encoder.state_dict())
    expected = theirs(x, src_key_padding_mask=~mask)
    assert torch.allclose(ours(x, mask)[mask], expected[mask], atol=1e-6)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_weights_spread_as_torch_draws_them() -> None:
    ours = TCA(256, 8, 512, generator=torch.Generator().manual_seed(0)).state_dict()
    layer = nn.TransformerEncoderLayer(256, 8, 512)
    for name, theirs in layer.state_dict().items():
        drawn = ours[f"transformer_encoder.layers.0.{name}"]
        assert drawn.mean().item() == pytest.approx(theirs.mean().item(), abs=0.01)
        if theirs.numel() > 1 and theirs.std() > 0:
            assert drawn.std().item() == pytest.approx(theirs.std().item(), rel=0.15)
        else:
            assert torch.equal(drawn, theirs)


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_result_whatever_it_holds(training: bool) -> None:
    network, x = small(dropout=0.0), random(1, 5, 16)
    draws = torch.Generator().manual_seed(0) if training else None
    alone = network(x, draws=draws)
    padded = torch.cat([x, 100 * random(1, 3, 16, seed=2)], dim=1)
    mask = torch.arange(8)[None] < 5
    refined = network(padded, mask, draws)
    assert torch.allclose(refined[:, :5], alone, atol=1e-6)
    assert torch.equal(refined[:, 5:], torch.zeros(1, 3, 16))
    assert torch.allclose(pooled(refined, mask), pooled(alone), atol=1e-6)


def test_permuting_frames_permutes_the_frames_and_leaves_the_video() -> None:
    network, x = small(), random(2, 9, 16)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(network(x[:, order]), network(x)[:, order], atol=1e-6)
    assert torch.allclose(pooled(network(x[:, order])), pooled(network(x)), atol=1e-6)


def test_a_frame_is_changed_by_another_frame_of_its_video_and_by_no_other_video() -> None:
    network, x = small(), random(2, 4, 16)
    changed = x.clone()
    changed[0, 3] += 1
    before, after = network(x), network(changed)
    assert not torch.allclose(before[0, 0], after[0, 0], atol=1e-4)
    assert torch.equal(before[1], after[1])


def test_dropout_follows_the_generator_and_nothing_else() -> None:
    network, x = small(dropout=0.5), random(2, 4, 16)

    def drawn(seed: int) -> Tensor:
        refined: Tensor = network(x, draws=torch.Generator().manual_seed(seed))
        return refined

    torch.manual_seed(0)
    first = drawn(5)
    torch.manual_seed(1)
    assert torch.equal(first, drawn(5))
    assert not torch.equal(first, drawn(6))
    assert torch.equal(network(x), network(x))


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    kept = _dropped(torch.ones(100_000), 0.2, torch.Generator().manual_seed(0))
    assert sorted(set(kept.tolist())) == pytest.approx([0, 1.25], rel=1e-5)
    assert kept.mean().item() == pytest.approx(1, abs=0.01)


def test_the_pool_of_one_frame_is_its_direction() -> None:
    assert torch.allclose(pooled(torch.tensor([[[3.0, 4.0]]])), torch.tensor([[0.6, 0.8]]))


def test_heads_that_do_not_divide_the_dimensions_are_refused_with_the_nearest_that_do() -> None:
    with pytest.raises(FeatureError, match="30 dimensions cannot be shared by 8 heads") as caught:
        TCA(30, 8, generator=torch.Generator())
    assert "whiten to 24" in caught.value.cure

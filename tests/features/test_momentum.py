"""The key encoder: how it follows, and whom its clips meet in batch norm."""

import pytest
import torch
from torch import Tensor, nn

from wtal_features.contrast.momentum import key_copy, momentum_update, shuffled, step_keys


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoder(seed: int = 0) -> nn.Sequential:
    """5 numbers -> 3, with batch norm between."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))


class Recorder(nn.Module):
    """Gives back what it gets, and remembers the parts."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.parts.append(x)
        return 2 * x


def test_a_key_encoder_starts_as_the_query_encoder_and_shares_nothing_with_it() -> None:
    query = encoder().eval()
    key = key_copy(query)
    for name, tensor in key.state_dict().items():
        assert torch.equal(tensor, query.state_dict()[name])
        assert tensor.data_ptr() != query.state_dict()[name].data_ptr()
    assert not any(parameter.requires_grad for parameter in key.parameters())
    assert all(parameter.requires_grad for parameter in query.parameters())
    assert key.training
    assert not query.training


def test_towards_a_query_that_rests_the_distance_shrinks_by_the_momentum() -> None:
    query, key = encoder(1), key_copy(encoder(2))
    before = [parameter.clone() for parameter in key.parameters()]
    for _ in range(10):
        momentum_update(key, query, 0.9)
    for k, k_0, q in zip(key.parameters(), before, query.parameters(), strict=True):
        torch.testing.assert_close(k, 0.9**10 * k_0 + (1 - 0.9**10) * q, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("momentum", "follows"), [(1.0, False), (0.0, True)])
def test_momentum_one_stands_still_and_zero_jumps(momentum: float, follows: bool) -> None:
    query, first = encoder(1), encoder(2)
    key = key_copy(first)
    momentum_update(key, query, momentum)
    target = query if follows else first
    for k, expected in zip(key.parameters(), target.parameters(), strict=True):
        assert torch.equal(k, expected)


def test_buffers_are_no_part_of_the_update() -> None:
    query, key = encoder(1), key_copy(encoder(2))
    query(torch.randn(8, 5, generator=generator()))  # moves the query's running mean
    before = {name: buffer.clone() for name, buffer in key.named_buffers()}
    momentum_update(key, query, 0.5)
    assert before
    for name, buffer in key.named_buffers():
        assert torch.equal(buffer, before[name])


def test_the_update_leaves_the_query_encoder_alone() -> None:
    query, key = encoder(1), key_copy(encoder(2))
    before = {name: tensor.clone() for name, tensor in query.state_dict().items()}
    step_keys(key, query, torch.randn(6, 5, generator=generator()), generator())
    for name, tensor in query.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_network_with_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than argument 1"):
        momentum_update(nn.Sequential(nn.Linear(5, 4)), encoder())


def test_the_keys_of_a_step_are_those_of_the_updated_encoder() -> None:
    query, key = nn.Linear(5, 3), key_copy(nn.Linear(5, 3))
    x = torch.randn(4, 5, generator=generator())
    expected = key_copy(key)
    momentum_update(expected, query, 0.5)
    torch.testing.assert_close(step_keys(key, query, x, generator(), 0.5), expected(x))


def test_keys_have_no_gradient_and_the_key_encoder_gets_none() -> None:
    query = encoder()
    key = key_copy(query)
    keys = step_keys(key, query, torch.randn(6, 5, generator=generator()), generator())
    assert not keys.requires_grad
    assert all(parameter.grad is None for parameter in key.parameters())


def test_its_own_forward_passes_move_the_batch_norm_of_the_key_encoder() -> None:
    query = encoder()
    key = key_copy(query)
    before = {name: buffer.clone() for name, buffer in key.named_buffers()}
    step_keys(key, query, torch.randn(6, 5, generator=generator()), generator())
    assert not any(torch.equal(buffer, before[name]) for name, buffer in key.named_buffers())


# Shuffled batch norm in one process --------------------------------------------------------------


@pytest.mark.parametrize(("rows", "parts"), [(8, [4, 4]), (7, [4, 3]), (2, [1, 1]), (1, [1])])
def test_clips_are_encoded_in_two_random_halves_and_come_back_in_order(
    rows: int, parts: list[int]
) -> None:
    key = Recorder()
    x = torch.randn(rows, 5, generator=generator())
    assert torch.equal(shuffled(key, x, generator(1)), 2 * x)
    assert [len(part) for part in key.parts] == parts
    order = torch.randperm(rows, generator=generator(1))
    assert torch.equal(torch.cat(key.parts), x[order])


def test_the_statistics_of_a_key_are_those_of_its_half() -> None:
    key = key_copy(nn.BatchNorm1d(5, affine=False, eps=1e-9))
    x = torch.randn(8, 5, generator=generator())
    keys, order = shuffled(key, x, generator(1)), torch.randperm(8, generator=generator(1))
    for half in order.chunk(2):
        torch.testing.assert_close(keys[half].mean(0), torch.zeros(5), atol=1e-6, rtol=0)
        spread = x[half].std(0, correction=0)
        torch.testing.assert_close(keys[half], (x[half] - x[half].mean(0)) / spread)
    whole = (x - x.mean(0)) / x.std(0, correction=0)
    assert not torch.allclose(keys, whole, atol=0.05)


def test_the_same_generator_state_gives_the_same_keys() -> None:
    x = torch.randn(8, 5, generator=generator())
    first, again, other = (shuffled(key_copy(encoder()), x, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_maps_of_video_are_shuffled_along_the_batch_alone() -> None:
    x = torch.randn(4, 2, 3, 5, 5, generator=generator())
    assert torch.equal(shuffled(nn.Identity(), x, generator(1)), x)

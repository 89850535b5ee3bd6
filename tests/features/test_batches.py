"""Batches across videos: every clip gets its own row, whatever it shared a batch with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.encoders.encoder import Encoder
from wtal_features.errors import FeatureError
from wtal_features.extraction.batches import Batcher

torch.set_num_threads(1)

CPU = torch.device("cpu")
Clip = npt.NDArray[Any]


class Toy:
    """The mean of a clip, and of each of its frames; remembers the batches it was given."""

    name, dim, any_length = "toy", 1, True
    clip = ClipSpec(3, 1, "rgb", Preprocess(8, 8))

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        return self.encode_dense(clips_BnHWC).mean(dim=1)

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        self.seen.append(clips_BnHWC.clone())
        return clips_BnHWC.float().mean(dim=(2, 3, 4))[..., None]

    def describe(self) -> Mapping[str, object]:
        return {"name": self.name}

    def to(self, device: torch.device) -> "Toy":
        return self


def clip_of(value: int) -> Clip:
    return np.full((3, 8, 8, 3), value, np.uint8)


def random_clips(encoder: Encoder, count: int) -> list[Clip]:
    generator, S = np.random.default_rng(0), encoder.clip.preprocess.size
    shape = (count, encoder.clip.frames, S, S)
    if encoder.clip.view == "rgb":
        return list(generator.integers(0, 256, (*shape, 3)).astype(np.uint8))
    return list((4 * generator.standard_normal((*shape, 2))).astype(np.float16))


def encoded(
    encoder: Encoder, clips: Sequence[Clip], size: int, *, dense: bool = False
) -> dict[int, npt.NDArray[np.float32]]:
    batcher = Batcher[int](encoder, size, CPU, dense=dense)
    rows = [row for i, clip in enumerate(clips) for row in batcher.add(i, clip)]
    rows += batcher.flush()
    found = dict(rows)
    assert len(found) == len(rows) == len(clips)
    return found


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_every_owner_gets_its_own_row_once_and_in_order(count: int) -> None:
    rows = encoded(Toy(), [clip_of(i) for i in range(count)], 4)
    assert {owner: row.tolist() for owner, row in rows.items()} == {i: [i] for i in range(count)}
    assert list(rows) == sorted(rows)


def test_rows_come_when_a_batch_is_full_and_not_before() -> None:
    batcher = Batcher[str](Toy(), 3, CPU)
    assert list(batcher.add("a", clip_of(1))) == []
    assert list(batcher.add("b", clip_of(2))) == []
    assert [owner for owner, _ in batcher.add("c", clip_of(3))] == ["a", "b", "c"]
    assert list(batcher.flush()) == []


def test_the_last_batch_is_filled_up_with_zeros_to_the_same_shape() -> None:
    toy = Toy()
    encoded(toy, [clip_of(7)] * 5, 4)
    assert [batch.shape for batch in toy.seen] == [(4, 3, 8, 8, 3)] * 2
    assert (toy.seen[1][0] == 7).all()
    assert not toy.seen[1][1:].any()


def test_a_dense_encoder_gives_a_row_per_time_position() -> None:
    clip = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (1, 2, 6)])
    assert encoded(Toy(), [clip], 2, dense=True)[0].tolist() == [[1], [2], [6]]
    assert encoded(Toy(), [clip], 2)[0].tolist() == [3]


def test_rows_outlive_the_next_batch() -> None:
    first, second = encoded(Toy(), [clip_of(1), clip_of(2)], 1).values()
    assert (first[0], second[0]) == (1, 2)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "float32") for name in ("s3d", "s3d-flow", "i3d", "r3d50", "r2plus1d26", "r3d26")),
        *((name, "float32") for name in ("c3d", "r3d10", "r2d10", "null", "colour-histogram")),
        *((name, "float32") for name in ("motion-histogram",)),
        *((name, "bfloat16") for name in ("s3d", "r3d50", "r2plus1d26")),
    ],
)
@pytest.mark.parametrize("dense", [False, True], ids=["window", "dense"])
def test_a_row_depends_on_neither_its_neighbours_nor_its_place(
    name: str, precision: Any, dense: bool
) -> None:
    network = not name.endswith(("null", "histogram"))
    options = EncoderOptions(width=0.125, size=32) if network else EncoderOptions()
    encoder, _ = load_encoder(name, EncoderOptions(**(vars(options) | {"precision": precision})))
    clip, *others = random_clips(encoder, 7)
    alone = encoded(encoder, [clip], 4, dense=dense)[0]
    assert np.isfinite(alone).all()
    assert alone.any()
    for place in range(4):
        for neighbours in (others[:3], others[3:]):
            clips = list(neighbours)
            clips.insert(place, clip)
            row = encoded(encoder, clips, 4, dense=dense)[place]
            assert row.tobytes() == alone.tobytes(), (place, np.abs(row - alone).max())


def test_a_batch_that_does_not_fit_names_the_option() -> None:
    class Full(Toy):
        def encode(self, clips_BnHWC: Tensor) -> Tensor:
            return torch.empty(1 << 60)  # what PyTorch says of it is the test

    with pytest.raises(FeatureError, match=r"A batch of 1 clips does not fit .*--batch") as caught:
        encoded(Full(), [clip_of(1)], 1)
    assert caught.value.code == "memory"
    with pytest.raises(FeatureError, match="A batch of 1152921504606846976 clips does not fit"):
        encoded(Toy(), [clip_of(1)], 1 << 60)


def test_other_faults_of_an_encoder_are_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Toy):
        def encode(self, clips_BnHWC: Tensor) -> Tensor:
            return clips_BnHWC.float() @ torch.ones(5)

    with pytest.raises(RuntimeError, match="size"):
        encoded(Broken(), [clip_of(1)], 1)

from __future__ import annotations

from typing import Any

import pytest
import torch

from pixelbayes.data import Augmentation, Windows
from pixelbayes.training.batches import Batch, BatchStream, EvaluationStream, Share
from pixelbayes.training.seeds import derived_seed

IMAGES = 23  # in batches of 5: the last one has 3


def stream(position: int = 0, *, seed: int = 0, share: Share | None = None) -> BatchStream:
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 256, (IMAGES, 1, 9, 9), generator=generator, dtype=torch.uint8)
    return BatchStream(
        levels,
        torch.arange(IMAGES),  # the label names the image
        batch_size=5,
        augmentation=Augmentation(flip=True, crop_margin=1),
        seed=seed,
        position=lambda: position,
        share=share or Share(),
    )


def order(**settings: Any) -> list[int]:
    return torch.cat([batch.labels for batch in stream(**settings)]).tolist()


def equal(one: Batch, other: Batch) -> bool:
    return all(
        a is b or torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_shows_every_image_once() -> None:
    assert sorted(order()) == list(range(IMAGES))


def test_every_epoch_and_every_seed_has_an_order_of_its_own() -> None:
    orders = [order(), order(position=5), order(seed=1)]

    assert all(one != other for i, one in enumerate(orders) for other in orders[:i])


def test_a_stream_begun_inside_an_epoch_continues_it_exactly() -> None:
    whole, rest = list(stream(5)), list(stream(8))

    assert len(rest) == 2
    assert all(map(equal, rest, whole[3:]))


def test_augmentation_differs_from_epoch_to_epoch() -> None:
    first, second = (torch.cat([batch.levels for batch in stream(position)]) for position in (0, 5))

    by_image = first[torch.argsort(torch.tensor(order()))]
    assert not torch.equal(by_image, second[torch.argsort(torch.tensor(order(position=5)))])


def test_images_are_shown_in_the_views_that_the_batch_names() -> None:
    plain = stream()
    plain.augmentation = Augmentation()
    told = stream()
    told.augmentation, told.views = Augmentation(), 2

    drawn = []
    for one, other in zip(plain, told, strict=True):
        assert isinstance(other.view, torch.Tensor)
        mirrored = other.view.bool()[:, None, None, None]
        assert torch.equal(other.levels, torch.where(mirrored, one.levels.flip(-1), one.levels))
        drawn.append(other.view)
    assert 0 < torch.cat(drawn).sum() < IMAGES


def test_windows_follow_from_seed_and_step_and_are_the_same_for_all_processes() -> None:
    def windowed(**settings: Any) -> BatchStream:
        made = stream(**settings)
        made.windows = Windows(step=2, share=0.7)
        return made

    whole, rest = list(windowed(position=5)), list(windowed(position=8))

    assert all(map(equal, rest, whole[3:]))
    assert len({batch.levels.shape[2:] for batch in whole}) > 1
    for rank in range(2):
        for part, batch in zip(windowed(position=5, share=Share(rank, 2)), whole, strict=True):
            assert torch.equal(part.levels[0], batch.levels[rank])


def test_soft_labels_go_with_their_images() -> None:
    taught = stream()
    taught.soft_labels = torch.eye(IMAGES)

    for batch in taught:
        assert batch.soft_labels is not None
        assert torch.equal(batch.soft_labels.argmax(dim=1), batch.labels)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_shares_of_processes_make_up_the_batch_of_one_process(world: int) -> None:
    shares = [list(stream(share=Share(rank, world))) for rank in range(world)]

    for step, whole in enumerate(stream()):
        parts = [share[step] for share in shares]
        assert len({len(part.labels) for part in parts}) == 1, "a process waits for another"
        kept = [part.weights > 0 for part in parts]
        together = torch.cat([part.labels[keep] for part, keep in zip(parts, kept, strict=True)])
        levels = torch.cat([part.levels[keep] for part, keep in zip(parts, kept, strict=True)])
        assert sorted(together.tolist()) == sorted(whole.labels.tolist())
        assert torch.equal(levels[together.argsort()], whole.levels[whole.labels.argsort()])
        assert all(part.global_count == len(whole.labels) for part in parts)


def test_evaluation_weighs_every_image_once_over_all_processes() -> None:
    levels, labels = torch.zeros(IMAGES, 1, 8, 8, dtype=torch.uint8), torch.arange(IMAGES)
    weights = torch.zeros(IMAGES)

    for rank in range(4):
        evaluation = EvaluationStream(levels, labels, chunk=5, share=Share(rank, 4))
        batches = list(evaluation)
        assert len(batches) == len(evaluation)
        for batch in batches:
            weights.index_add_(0, batch.labels, batch.weights)

    assert torch.equal(weights, torch.ones(IMAGES))


def test_derived_seeds_are_valid_and_the_same_in_every_version() -> None:
    assert derived_seed("order", 0, 1) == 4473484566461243327
    assert 0 <= derived_seed("order", 2**62, 10**9) < 2**63

"""A batch is a function of the step, whatever the sizes and however many processes share it."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.data import Augmentation
from pixelbayes.training.batches import BatchStream, EvaluationStream, Share, steps_per_epoch
from pixelbayes.training.seeds import derived_seed

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
COUNTS = st.integers(1, 40)
SIZES = st.integers(1, 17)
WORLDS = st.integers(1, 5)


def stream(count: int, batch: int, *, position: int = 0, share: Share | None = None) -> BatchStream:
    """Image n is full of level n, and its label is n."""
    labels = torch.arange(count)
    levels = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    return BatchStream(
        levels,
        labels,
        batch_size=batch,
        augmentation=Augmentation(flip=True),
        seed=3,
        position=lambda: position,
        share=share or Share(),
    )


@given(count=COUNTS, batch=SIZES)
@QUICK
def test_an_epoch_is_every_image_once_with_its_own_label(count: int, batch: int) -> None:
    batches = list(stream(count, batch))
    assert len(batches) == steps_per_epoch(count, batch)
    seen = torch.cat([one.labels for one in batches])
    assert sorted(seen.tolist()) == list(range(count))
    assert all(one.levels[:, 0, 0, 0].long().equal(one.labels) for one in batches)
    assert all(one.global_count == len(one.labels) for one in batches)
    assert all(len(one.labels) == min(batch, count) for one in batches[:-1])


@given(count=COUNTS, batch=SIZES, done=st.integers(0, 60))
@QUICK
def test_what_follows_a_step_does_not_depend_on_where_the_run_was_begun(
    count: int, batch: int, done: int
) -> None:
    per_epoch = steps_per_epoch(count, batch)
    begun_here = list(stream(count, batch, position=done))
    begun_before = list(stream(count, batch, position=done - done % per_epoch))
    assert len(begun_here) == per_epoch - done % per_epoch
    for one, other in zip(begun_here, begun_before[done % per_epoch :], strict=True):
        assert one.labels.equal(other.labels)
        assert one.levels.equal(other.levels)


@given(count=COUNTS, batch=SIZES, world=WORLDS)
@QUICK
def test_processes_together_see_what_one_would(count: int, batch: int, world: int) -> None:
    alone = list(stream(count, batch))
    shared = [list(stream(count, batch, share=Share(rank, world))) for rank in range(world)]
    for step, whole in enumerate(alone):
        parts = [of_process[step] for of_process in shared]
        assert len({len(part.labels) for part in parts}) == 1
        counted = torch.zeros(count)
        for part in parts:
            counted.index_add_(0, part.labels, part.weights)
            assert part.global_count == len(whole.labels)
        expected = torch.zeros(count)
        expected[whole.labels] = 1.0
        assert counted.equal(expected)


@given(count=COUNTS, world=WORLDS, chunk=SIZES)
@QUICK
def test_sums_over_an_evaluation_do_not_depend_on_chunks_or_processes(
    count: int, world: int, chunk: int
) -> None:
    values = torch.arange(count, dtype=torch.float64) ** 2
    levels = torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    total, weight = 0.0, 0.0
    for rank in range(world):
        for batch in EvaluationStream(
            levels, torch.arange(count), chunk=chunk, share=Share(rank, world)
        ):
            total += float((values[batch.labels] * batch.weights).sum())
            weight += float(batch.weights.sum())
    assert total == float(values.sum())
    assert weight == count


@given(
    one=st.lists(st.integers(0, 2**62), min_size=1, max_size=4),
    other=st.lists(st.integers(0, 2**62), min_size=1, max_size=4),
)
@QUICK
def test_seeds_of_different_purposes_differ(one: list[int], other: list[int]) -> None:
    assert (derived_seed(*one) == derived_seed(*other)) is (one == other)
    assert derived_seed("order", *one) != derived_seed("augmentation", *one)
    assert 0 <= derived_seed(*one) < 2**63


@given(count=COUNTS, batch=SIZES, world=WORLDS)
@QUICK
def test_an_image_is_shown_in_the_same_view_however_many_processes_there_are(
    count: int, batch: int, world: int
) -> None:
    def views_by_image(share: Share) -> dict[int, int]:
        shown = stream(count, batch, share=share)
        shown.views = 2
        return {
            label: view
            for one in shown
            for label, view, weight in zip(
                one.labels.tolist(), torch.as_tensor(one.view).tolist(), one.weights, strict=True
            )
            if weight
        }

    together: dict[int, int] = {}
    for rank in range(world):
        together |= views_by_image(Share(rank, world))
    assert together == views_by_image(Share())

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelbayes.data import DEFAULT_FRACTIONS, DatasetError, stratified_split, stratified_subset
from pixelbayes.data.splits import stratified_part


def uneven_labels() -> torch.Tensor:
    """Classes of 3, 10, 47 and 140 images, mixed."""
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor([3, 10, 47, 140]))
    return labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]


def test_every_image_is_in_exactly_one_split() -> None:
    parts = stratified_split(uneven_labels(), DEFAULT_FRACTIONS, seed=1)
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(200))


def test_every_class_has_its_proportion_in_every_split() -> None:
    labels = uneven_labels()
    for name, indices in stratified_split(labels, DEFAULT_FRACTIONS, seed=1).items():
        counts = torch.bincount(labels[indices], minlength=4)
        wanted = DEFAULT_FRACTIONS[name] * torch.tensor([3, 10, 47, 140])
        assert (counts - wanted).abs().max() <= 1.1, name  # 3 images: 1 instead of 2.1


def test_a_class_of_three_images_has_one_in_each_split() -> None:
    labels = uneven_labels()
    parts = stratified_split(labels, DEFAULT_FRACTIONS, seed=1)
    assert [int((labels[indices] == 0).sum()) for indices in parts.values()] == [1, 1, 1]


def test_tenths_of_five_thousand_are_exact() -> None:
    labels = torch.arange(10).repeat(5000)
    parts = stratified_split(labels, {"train": 0.9, "validation": 0.1}, seed=0)
    assert torch.bincount(labels[parts["validation"]]).tolist() == [500] * 10


def test_the_split_of_a_seed_never_changes() -> None:
    parts = stratified_split(torch.arange(2).repeat(6), {"train": 0.5, "test": 0.5}, seed=7)
    # A change here would move images between the splits of models that are already trained.
    assert parts["test"].tolist() == [1, 6, 8, 9, 10, 11]


def test_another_seed_gives_another_split() -> None:
    labels = uneven_labels()
    first = stratified_split(labels, DEFAULT_FRACTIONS, seed=0)["test"]
    assert not torch.equal(first, stratified_split(labels, DEFAULT_FRACTIONS, seed=1)["test"])


def test_a_class_that_is_too_small_is_named() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1])
    with pytest.raises(DatasetError, match=r"at least 3 images.*too few in: 'dog' \(2\)"):
        stratified_split(labels, DEFAULT_FRACTIONS, seed=0, classes=("cat", "dog"))


def test_unlabelled_images_cannot_be_stratified() -> None:
    with pytest.raises(DatasetError, match=r"without a label.*positions: 1"):
        stratified_split(torch.tensor([0, -1, 0, 0]), DEFAULT_FRACTIONS, seed=0)


@pytest.mark.parametrize("fractions", [{"train": 0.7, "test": 0.2}, {"train": 1.0, "test": 0.0}])
def test_fractions_must_add_up_and_leave_no_split_empty(fractions: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="above 0 and add up to 1, got"):
        stratified_split(torch.zeros(9, dtype=torch.int64), fractions, seed=0)


def test_a_subset_has_its_size_and_every_class() -> None:
    labels = uneven_labels()
    chosen = stratified_subset(labels, 20, seed=0)
    counts = torch.bincount(labels[chosen], minlength=4)
    assert len(set(chosen.tolist())) == 20
    assert counts.tolist() == [1, 1, 4, 14]


def test_a_subset_of_everything_is_everything() -> None:
    assert stratified_subset(torch.tensor([1, 0, -1]), 5, seed=0).tolist() == [0, 1, 2]


def test_a_limit_below_the_number_of_classes_is_refused() -> None:
    with pytest.raises(DatasetError, match="train_limit 3 leaves some of the 4 classes"):
        stratified_subset(uneven_labels(), 3, seed=0, option="train_limit")


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_a_part_has_its_size_and_leaves_every_class(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    size = data.draw(st.integers(0, len(labels) - len(counts)))

    chosen = stratified_part(labels, size, seed)

    left = torch.tensor(counts) - labels[chosen].bincount(minlength=len(counts))
    assert len({*chosen.tolist()}) == size
    assert left.min() >= 1
    exact = size * torch.tensor(counts) / len(labels)
    at_most = torch.tensor(counts) - 1
    assert (torch.tensor(counts) - left >= exact.floor().minimum(at_most)).all()

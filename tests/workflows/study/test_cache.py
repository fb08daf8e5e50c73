"""What has been computed is not computed again, unless what it depends on has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from pixelbayes.workflows.study.cache import Cache, Deadline, TimeIsUp, levels_digest


def test_tensors_are_made_once_and_come_back_equal(tmp_path: Path) -> None:
    made = []

    def compute() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"a": torch.arange(6, dtype=torch.float64).view(2, 3).T}

    cache = Cache(tmp_path / "new")
    first, again = (cache.tensors("x", {"k": 1}, compute)["a"] for _ in range(2))
    assert torch.equal(first, again)
    assert len(made) == 1


def test_another_key_is_another_piece(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.value("x", {"k": 1}, lambda: "one") == "one"
    assert cache.value("x", {"k": 2}, lambda: "two") == "two"
    assert cache.known("x", {"k": 1}) == "one"
    assert cache.known("x", {"k": 3}) is None


def test_a_piece_with_any_byte_lost_or_changed_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.value("v", {}, lambda: [1, 25])
    cache.tensors("t", {}, lambda: {"a": torch.ones(2)})
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        for place in range(0, len(whole), 9):
            for content in (whole[:place], whole[:place] + b"7" + whole[place + 1 :]):
                if content == whole:
                    continue
                file.write_bytes(content)
                assert cache.value("v", {}, lambda: [1, 25]) == [1, 25], (file.name, place)
                assert cache.tensors("t", {}, lambda: {"a": torch.ones(2)})["a"].sum() == 2


def test_a_piece_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.value("v", {}, lambda: 1)
    cache.tensors("t", {}, lambda: {"a": torch.ones(2)})
    for file in tmp_path.iterdir():
        tensors = file.suffix == ".safetensors"
        file.write_bytes(save({"a": torch.zeros(2)}) if tensors else b"42")
    assert cache.value("v", {}, lambda: 1) == 42
    assert cache.tensors("t", {}, lambda: {"a": torch.ones(2)})["a"].sum() == 0


def test_a_piece_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> int:
        raise TimeIsUp

    with pytest.raises(TimeIsUp):
        Cache(tmp_path).value("v", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_digest_sees_shape_type_and_values() -> None:
    base = torch.zeros(2, 3, dtype=torch.uint8)
    others = [base.T, base.long(), base + 1]
    assert len({levels_digest(tensor) for tensor in (base, *others)}) == 4


def test_a_deadline_stops_the_progress_it_watches() -> None:
    seen: list[int] = []
    Deadline(None).watching(lambda _, done, __: seen.append(done))("x", 1, 2)
    assert seen == [1]
    with pytest.raises(TimeIsUp):
        Deadline(0.0).watching(None)("x", 1, 2)

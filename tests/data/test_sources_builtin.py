from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import torch

from pixelbayes.data import Augmentation, DatasetError, describe, load_dataset
from pixelbayes.data.sources import builtin, tree_digest

SavePhoto = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIXELBAYES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class TestDigits:
    def test_there_are_1797_in_three_splits_of_ten_classes(self) -> None:
        digits = load_dataset("digits")
        assert sum(len(images) for images in digits.splits.values()) == 1797
        assert describe(digits)["splits"]["test"]["per_class"]["0"] == 27
        assert (digits.channels, digits.image_size) == (1, (8, 8))

    def test_levels_are_the_counts_of_black_pixels_spread_over_0_to_255(self) -> None:
        from sklearn.datasets import load_digits

        test = load_dataset("digits").split("test")
        originals = load_digits().images[[int(name.split("/")[1]) for name in test.names]]
        assert np.array_equal(test.levels[:, 0].numpy(), np.rint(originals * 255 / 16))
        assert int(test.levels.max()) == 255

    def test_a_margin_is_a_mirrored_border_because_the_originals_have_8_rows(self) -> None:
        plain, larger = load_dataset("digits"), load_dataset("digits", crop_margin=3)
        levels = larger.split("train").levels
        assert levels.shape[2:] == (11, 11)
        assert Augmentation(crop_margin=3).centre(levels).equal(plain.split("train").levels)
        assert levels[:, :, 0].equal(levels[:, :, 2])
        assert levels[..., -2:].equal(levels[..., [-4, -5]])
        assert larger.split("test").levels.equal(plain.split("test").levels)
        assert larger.decided["crop_margin"].startswith("3, a border of mirrored edges")

    def test_they_can_be_enlarged_and_coloured_on_request(self) -> None:
        digits = load_dataset(
            "digits", image_size=(16, 16), channels=3, allow_upscaling=True, limit=10
        )
        train = digits.split("train").levels
        assert train.shape == (10, 3, 16, 16)
        assert torch.equal(train[:, 0], train[:, 2])

    def test_another_seed_divides_them_otherwise(self) -> None:
        first, second = (load_dataset("digits", seed=seed).split("test").names for seed in (0, 1))
        assert first != second


class TestCpen455:
    @pytest.fixture
    def tree(self, tmp_path: Path, save_photo: SavePhoto) -> Path:
        """A small data set in the layout of the course."""
        for split, count in (("train", 8), ("validation", 4), ("test", 2)):
            lines = []
            for number in range(count):
                name = f"{split}/{number:07}.jpg"
                save_photo(tmp_path / "data" / name, rows=64, columns=64)
                lines.append(f"{name},{-1 if split == 'test' else number % 4}\n")
            (tmp_path / "data" / f"{split}.csv").write_text("".join(lines))
        return tmp_path / "data"

    @pytest.fixture
    def archive(self, tree: Path, tmp_path: Path) -> Path:
        """The starter repository as GitHub packs it."""
        with zipfile.ZipFile(tmp_path / "starter.zip", "w") as zipped:
            for file in sorted(tree.rglob("*")):
                zipped.write(file, f"Repo-164cace/data/{file.relative_to(tree)}")
            zipped.writestr("Repo-164cace/train.py", "print()")
            zipped.writestr("Repo-164cace/data/train/../../../../escaped", "")
        return tmp_path / "starter.zip"

    @pytest.fixture
    def serve(
        self, archive: Path, tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> list[str]:
        """Answers downloads with the archive; returns the list of what was asked for."""
        asked: list[str] = []

        def retrieve(url: str, known_hash: str | None, fname: str, path: str) -> str:
            asked.append(url)
            Path(path).mkdir(parents=True, exist_ok=True)
            return str(shutil.copy(archive, Path(path) / fname))

        monkeypatch.setattr(pooch, "retrieve", retrieve)
        monkeypatch.setattr(builtin, "CPEN455_DIGEST", tree_digest(tree, builtin.CPEN455_PARTS))
        return asked

    def test_the_folder_or_the_repository_around_it_is_accepted(self, tree: Path) -> None:
        for place in (tree, tree.parent):
            dataset = load_dataset("cpen455", data_dir=place)
            assert dataset.classes == ("cheeseburger", "giant panda", "koala", "pizza")
            assert dataset.split("train").names[0] == "train/0000000.jpg"
            assert dataset.split("train").labels.tolist() == [0, 1, 2, 3] * 2
            assert dataset.split("test").labels.tolist() == [-1, -1]

    def test_another_folder_says_what_is_expected(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"data/train\.csv or cpen455/train\.csv; pass as"):
            load_dataset("cpen455", data_dir=tmp_path)

    def test_a_wrong_label_is_named_with_its_line(self, tree: Path) -> None:
        with (tree / "validation.csv").open("a") as file:
            file.write("validation/0000000.jpg,4\n")
        with pytest.raises(DatasetError, match=r"validation\.csv: labels .* line 5 \(4\)"):
            load_dataset("cpen455", data_dir=tree)

    def test_a_download_gives_the_same_images_as_the_folder(
        self, tree: Path, serve: list[str]
    ) -> None:
        downloaded, local = load_dataset("cpen455"), load_dataset("cpen455", data_dir=tree)
        assert torch.equal(downloaded.split("train").levels, local.split("train").levels)
        assert serve == ["https://github.com/DSL-Lab/CPEN455HW-2024W2/archive/164cace.zip"]

    def test_a_download_happens_once(self, serve: list[str]) -> None:
        load_dataset("cpen455")
        load_dataset("cpen455")
        assert len(serve) == 1

    def test_nothing_outside_its_folder_is_written(
        self, tmp_path: Path, cache: Path, serve: list[str]
    ) -> None:
        load_dataset("cpen455")
        assert sorted(path.name for path in cache.iterdir()) == ["cpen455-164cace"]
        assert not list(tmp_path.rglob("escaped"))
        assert not list(cache.rglob("train.py"))

    def test_other_files_than_expected_are_refused_and_not_kept(
        self, cache: Path, serve: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(builtin, "CPEN455_DIGEST", "0" * 64)
        with pytest.raises(DatasetError, match=r"other files than expected.*pass --data-dir"):
            load_dataset("cpen455")
        assert not list(cache.iterdir())

    def test_half_an_archive_is_refused(self, archive: Path, serve: list[str]) -> None:
        archive.write_bytes(archive.read_bytes()[:1000])
        with pytest.raises(DatasetError, match="did not give a complete zip archive"):
            load_dataset("cpen455")

    def test_without_a_network_the_error_says_what_was_tried_and_what_to_do(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> str:
            raise ConnectionError("no route to host")

        monkeypatch.setattr(pooch, "retrieve", refuse)
        with pytest.raises(DatasetError, match=r"164cace\.zip .*--data-dir.*no route to host"):
            load_dataset("cpen455")

    def test_the_recorded_digest_is_that_of_the_shared_images(self, shared: Path) -> None:
        assert tree_digest(shared / "cpen455", builtin.CPEN455_PARTS) == builtin.CPEN455_DIGEST

    def test_the_shared_images_are_read_in_balanced_classes(self, shared: Path) -> None:
        dataset = load_dataset("cpen455", data_dir=shared / "cpen455", limit=40)
        assert describe(dataset)["splits"]["train"]["per_class"] == {
            "cheeseburger": 10,
            "giant panda": 10,
            "koala": 10,
            "pizza": 10,
        }
        assert set(dataset.split("test").labels.tolist()) == {-1}


class TestTreeDigest:
    def test_it_does_not_depend_on_when_or_in_which_order_files_came(self, tmp_path: Path) -> None:
        for folder, names in (("a", ["x/1", "y"]), ("b", ["y", "x/1"])):
            for name in names:
                (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / folder / name).write_text(name)
        (tmp_path / "b" / "x" / ".DS_Store").touch()
        assert tree_digest(tmp_path / "a", ["x", "y"]) == tree_digest(tmp_path / "b", ["y", "x"])

    @pytest.mark.parametrize(("name", "content"), [("1", "B"), ("2", "A")])
    def test_it_depends_on_names_and_contents(
        self, tmp_path: Path, name: str, content: str
    ) -> None:
        for folder, file, text in (("a", "1", "A"), ("b", name, content)):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / file).write_text(text)
        assert tree_digest(tmp_path, ["a"]) != tree_digest(tmp_path, ["b"])
        first, second = (tree_digest(tmp_path / folder, ["1", "2"]) for folder in ("a", "b"))
        assert first != second


class TestCifar10:
    @pytest.fixture
    def unpacked(self, tmp_path: Path) -> Path:
        """Batches of twenty images, two of each class."""
        folder = tmp_path / "cifar" / "cifar-10-batches-bin"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for name in (*builtin.CIFAR10_TRAIN, *builtin.CIFAR10_TEST):
            records = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
            records[:, 0] = np.arange(20) % 10
            records.tofile(folder / f"{name}.bin")
        return folder

    @pytest.fixture
    def archive(self, unpacked: Path, tmp_path: Path) -> Path:
        path = tmp_path / "packed" / "cifar-10-binary.tar.gz"
        path.parent.mkdir()
        with tarfile.open(path, "w:gz") as tar:
            tar.add(unpacked, arcname="cifar-10-batches-bin")
            tar.addfile(tarfile.TarInfo("../escaped"), io.BytesIO())
        return path

    def test_the_archive_and_its_folders_give_the_same_images(
        self, unpacked: Path, archive: Path, tmp_path: Path
    ) -> None:
        places = (archive, archive.parent, unpacked, unpacked.parent)
        first, *others = (load_dataset("cifar10", data_dir=place) for place in places)
        assert {name: len(images) for name, images in first.splits.items()} == {
            "train": 90,
            "validation": 10,
            "test": 20,
        }
        for other in others:
            assert torch.equal(first.split("train").levels, other.split("train").levels)
        assert not list(tmp_path.rglob("escaped"))

    def test_bytes_are_a_label_and_then_the_planes_red_green_blue(self, unpacked: Path) -> None:
        test = load_dataset("cifar10", data_dir=unpacked).split("test")
        record = np.fromfile(unpacked / "test_batch.bin", dtype=np.uint8)[3 * 3073 :][:3073]
        assert (test.names[3], int(test.labels[3])) == ("test_batch/3", record[0])
        assert np.array_equal(test.levels[3].numpy(), record[1:].reshape(3, 32, 32))

    def test_the_download_is_checked_against_the_published_digest(
        self, archive: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: dict[str, Any] = {}

        def retrieve(url: str, **options: Any) -> str:
            asked.update(url=url, **options)
            return str(archive)

        monkeypatch.setattr(pooch, "retrieve", retrieve)
        load_dataset("cifar10")
        assert asked["known_hash"] == "md5:c32a1d4ab5d03f1284b67883e8d87530"
        assert asked["url"] == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
        assert asked["path"] == str(cache)

    def test_a_missing_batch_is_named(self, unpacked: Path) -> None:
        (unpacked / "data_batch_3.bin").unlink()
        with pytest.raises(DatasetError, match=r"lacks data_batch_3\.bin"):
            load_dataset("cifar10", data_dir=unpacked)

    def test_an_incomplete_batch_is_named(self, unpacked: Path) -> None:
        path = unpacked / "data_batch_3.bin"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DatasetError, match=r"data_batch_3\.bin: 61459 bytes are not a mult"):
            load_dataset("cifar10", data_dir=unpacked)

    def test_an_incomplete_archive_is_named(self, archive: Path) -> None:
        archive.write_bytes(archive.read_bytes()[:5000])
        with pytest.raises(DatasetError, match=r"tar\.gz is not a complete tar archive"):
            load_dataset("cifar10", data_dir=archive)

    def test_another_folder_says_what_is_expected(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"neither cifar-10-binary\.tar\.gz nor data_batch"):
            load_dataset("cifar10", data_dir=tmp_path)

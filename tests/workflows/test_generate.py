"""Generated images and the files that hold them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.data import DatasetError, write_png
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.generate import generate
from pixelbayes.workflows.outputs import OutputExistsError
from pixelbayes.workflows.samples import save_samples


def test_the_batch_size_does_not_change_the_images(tiny_model: PixelBayes) -> None:
    together = generate(tiny_model, count=2, seed=5)
    one_by_one = generate(tiny_model, count=2, seed=5, batch_size=1)
    assert torch.equal(together.levels, one_by_one.levels)


@pytest.mark.parametrize("completed", [False, True])
def test_levels_are_the_same_to_the_last_bit_whatever_the_batch_size(
    tiny_model: PixelBayes, tmp_path: Path, completed: bool
) -> None:
    tiny_model.network.float()
    write_png(torch.arange(192).view(3, 8, 8).to(torch.uint8), tmp_path / "x.png")
    given = {"source": tmp_path / "x.png", "rows": 5} if completed else {}
    drawn = [
        generate(tiny_model, count=7, seed=5, batch_size=size, **given).levels  # type: ignore[arg-type]
        for size in (None, 1, 3, 16, 17)
    ]
    assert all(torch.equal(drawn[0], levels) for levels in drawn[1:])


def test_the_seed_changes_the_images(tiny_model: PixelBayes) -> None:
    assert not torch.equal(
        generate(tiny_model, ["pizza"], seed=0).levels,
        generate(tiny_model, ["pizza"], seed=1).levels,
    )


def test_classes_are_drawn_by_name_or_index_in_the_order_given(tiny_model: PixelBayes) -> None:
    assert generate(tiny_model, ["sea lion", 0], count=2).labels.tolist() == [2, 2, 0, 0]


def test_each_sample_carries_its_log_likelihood(tiny_model: PixelBayes) -> None:
    samples = generate(tiny_model)
    table = tiny_model.classifier().log_likelihoods(samples.levels)
    torch.testing.assert_close(samples.log_prob, table.diagonal())


def test_a_completed_image_keeps_its_first_rows(tiny_model: PixelBayes, tmp_path: Path) -> None:
    levels = torch.arange(192).view(3, 8, 8).to(torch.uint8)
    write_png(levels, tmp_path / "half.png")
    samples = generate(tiny_model, count=2, source=tmp_path / "half.png", rows=3)
    assert torch.equal(samples.levels[:, :, :3], levels[:, :3].expand(6, -1, -1, -1))
    assert not torch.equal(samples.levels[0], samples.levels[1])


def test_a_mask_is_white_where_pixels_are_drawn(tiny_model: PixelBayes, tmp_path: Path) -> None:
    levels = torch.arange(192).view(3, 8, 8).to(torch.uint8)
    write_png(levels, tmp_path / "image.png")
    hole = torch.zeros(1, 8, 8, dtype=torch.uint8)
    hole[:, 2:4, 1:5] = 255
    write_png(hole, tmp_path / "mask.png")
    known = hole[0] == 0
    for candidates in (1, 3):
        samples = generate(
            tiny_model,
            ["koala"],
            count=2,
            source=tmp_path / "image.png",
            mask=tmp_path / "mask.png",
            candidates=candidates,
        )
        assert torch.equal(samples.levels[:, :, known], levels[:, known].expand(2, -1, -1))
        assert not torch.equal(samples.levels[0], samples.levels[1])


def test_a_mask_without_anything_to_draw_is_refused(tiny_model: PixelBayes, tmp_path: Path) -> None:
    for name in ("image.png", "mask.png"):
        write_png(torch.zeros(3, 8, 8, dtype=torch.uint8), tmp_path / name)
    with pytest.raises(ValueError, match="keeps every pixel"):
        generate(tiny_model, source=tmp_path / "image.png", mask=tmp_path / "mask.png")


def test_a_photograph_is_no_mask(tiny_model: PixelBayes, tmp_path: Path) -> None:
    levels = torch.arange(192).view(3, 8, 8).to(torch.uint8)
    write_png(levels, tmp_path / "photo.png")
    with pytest.raises(DatasetError, match="are neither black nor white, so this is no mask"):
        generate(tiny_model, source=tmp_path / "photo.png", mask=tmp_path / "photo.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_transparent_mask_is_refused_and_an_opaque_one_with_alpha_is_read(
    tiny_model: PixelBayes, tmp_path: Path, mode: str
) -> None:
    """White on an empty layer, which laid on white would draw every pixel."""
    write_png(torch.zeros(3, 8, 8, dtype=torch.uint8), tmp_path / "x.png")
    opaque = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    empty = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    for image in (opaque, empty):
        image.putpixel((3, 2), (255, 255, 255, 255))
    empty.convert(mode).save(tmp_path / "empty.png")
    opaque.convert(mode).save(tmp_path / "opaque.png")
    draw = partial(generate, tiny_model, ["koala"], source=tmp_path / "x.png")
    for mask in (tmp_path / "empty.png", empty.convert(mode)):
        with pytest.raises(DatasetError, match="the mask is transparent in part"):
            draw(mask=mask)
    known = draw(mask=tmp_path / "opaque.png").known
    assert known is not None
    assert (~known).nonzero().tolist() == [[2, 3]]


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_a_mask_may_have_the_noise_of_jpeg(
    tiny_model: PixelBayes, tmp_path: Path, quality: int
) -> None:
    write_png(torch.zeros(3, 8, 8, dtype=torch.uint8), tmp_path / "x.png")
    hole = np.zeros((64, 64), dtype=np.uint8)
    hole[13:50, 21:46] = 255
    Image.fromarray(hole).save(tmp_path / "mask.jpg", quality=quality)
    Image.fromarray(hole).save(tmp_path / "mask.png")
    kept = [
        generate(tiny_model, ["koala"], source=tmp_path / "x.png", mask=tmp_path / name).known
        for name in ("mask.jpg", "mask.png")
    ]
    assert kept[0] is not None
    assert kept[1] is not None
    assert torch.equal(kept[0], kept[1])


def test_progress_counts_rows_up_to_all_of_them(tiny_model: PixelBayes) -> None:
    calls: list[tuple[int, int]] = []
    generate(  # 18 images in tiles of 16
        tiny_model,
        count=6,
        batch_size=2,
        progress=lambda _, done, total: calls.append((done, total)),
    )
    assert calls == [(done, 16) for done in range(1, 17)]


def test_saved_pngs_hold_exactly_the_sampled_levels(tiny_model: PixelBayes, tmp_path: Path) -> None:
    samples = generate(tiny_model, count=2)
    paths = save_samples(samples, tiny_model, tmp_path / "out")
    assert [path.name for path in paths[:3]] == [
        "koala-0001.png",
        "koala-0002.png",
        "pizza-0001.png",
    ]
    for path, levels in zip(paths, samples.levels, strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), levels.permute(1, 2, 0).numpy())


def test_the_index_tells_class_seed_and_likelihood_of_each_file(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    samples = generate(tiny_model, ["sea lion"], seed=9)
    save_samples(samples, tiny_model, tmp_path)
    index = json.loads((tmp_path / "samples.json").read_text())
    assert index["seed"] == 9
    assert index["samples"][0]["file"] == "sea_lion-0001.png"
    assert index["samples"][0]["class"] == "sea lion"
    assert index["samples"][0]["log_likelihood"] == float(samples.log_prob[0])


def test_a_folder_with_other_files_is_refused(tiny_model: PixelBayes, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputExistsError, match="not empty; choose another --output, or"):
        save_samples(generate(tiny_model), tiny_model, tmp_path)


def test_overwriting_removes_the_earlier_samples_and_nothing_else(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    save_samples(generate(tiny_model, count=2), tiny_model, tmp_path)
    (tmp_path / "mine.txt").touch()
    save_samples(generate(tiny_model, ["pizza"]), tiny_model, tmp_path, overwrite=True)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["grid.png", "mine.txt", "pizza-0001.png", "samples.json"]


def test_class_names_that_make_the_same_file_name_keep_apart(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    metadata = replace(tiny_model.metadata, classes=("../a", "A", ".."))
    odd = PixelBayes(tiny_model.network, metadata)
    paths = save_samples(generate(odd), odd, tmp_path / "out")
    assert len({path.name.lower() for path in paths}) == 3
    assert {path.parent for path in paths} == {tmp_path / "out"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"classes": ["kola"]}, "no class 'kola'; choose one of: koala"),
        ({"classes": []}, "no class to draw"),
        ({"count": 0}, "--count is a number of images above 0, got 0"),
        ({"batch_size": 0}, "--batch-size is a number"),
        ({"rows": 3}, "--rows belongs to 'pixelbayes complete IMAGE'"),
        ({"mask": "m.png"}, "--mask belongs to 'pixelbayes complete IMAGE'"),
        ({"candidates": 3}, "--candidates chooses between completions"),
        ({"candidates": 0}, "--candidates is a number of images above 0"),
        ({"rows": 3, "mask": "m.png", "source": "x.png"}, "both say which pixels"),
        ({"rows": 8, "source": "x.png"}, r"--rows is the number of rows to keep, 0\.\.7, got 8"),
    ],
)
def test_impossible_wishes_are_explained(
    tiny_model: PixelBayes, options: dict[str, object], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        generate(tiny_model, **options)  # type: ignore[arg-type]

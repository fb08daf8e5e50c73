from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.data import Augmentation, DatasetError, Resize, Windows
from pixelbayes.data.transforms import FILTERS


def noise(rows: int, columns: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered_batch(count: int, rows: int, columns: int) -> torch.Tensor:
    """Images whose red level is the row, green the column, blue the image."""
    levels = torch.empty(count, 3, rows, columns, dtype=torch.uint8)
    levels[:, 0] = torch.arange(rows)[:, None]
    levels[:, 1] = torch.arange(columns)
    levels[:, 2] = torch.arange(count)[:, None, None]
    return levels


class TestResize:
    def test_its_fields_survive_json(self) -> None:
        resize = Resize((24, 32), filter="lanczos", geometry="stretch", allow_upscaling=True)
        assert Resize(**json.loads(json.dumps(dataclasses.asdict(resize)))) == resize

    def test_an_image_of_the_right_size_is_returned_untouched(self) -> None:
        image = noise(32, 24)
        assert Resize((32, 24))(image) is image

    @pytest.mark.parametrize("name", FILTERS)
    def test_a_square_image_is_resized_as_pillow_does(self, name: str) -> None:
        ours, theirs = Resize((32, 32), filter=name)(noise(64, 64)), noise(64, 64)
        assert ours.tobytes() == theirs.resize((32, 32), FILTERS[name]).tobytes()

    def test_a_checkerboard_becomes_its_mean_and_not_one_of_its_colours(self) -> None:
        board = np.indices((64, 64)).sum(axis=0) % 2 * 200
        small = np.asarray(Resize((16, 16))(Image.fromarray(board.astype(np.uint8))))
        assert np.abs(small.astype(int) - 100).max() <= 8  # without antialiasing: 0 or 200

    def test_crop_takes_the_centre(self) -> None:
        pixels = np.zeros((20, 60), dtype=np.uint8)
        pixels[:, 20:40] = 255
        assert set(np.asarray(Resize((10, 10))(Image.fromarray(pixels))).flat) == {255}

    def test_crop_centres_rows_too(self) -> None:
        pixels = np.zeros((61, 20), dtype=np.uint8)
        pixels[20:41] = 255
        small = np.asarray(Resize((10, 10))(Image.fromarray(pixels)))
        assert set(small.flat) == {255}

    def test_stretch_keeps_the_borders(self) -> None:
        pixels = np.zeros((20, 60), dtype=np.uint8)
        pixels[:, :20] = 255
        small = np.asarray(
            Resize((10, 9), geometry="stretch", filter="box")(Image.fromarray(pixels))
        )
        assert small[0].tolist() == [255] * 3 + [0] * 6

    def test_size_is_rows_before_columns(self) -> None:
        assert Resize((16, 24))(noise(64, 64)).size == (24, 16)

    @pytest.mark.parametrize(("rows", "columns"), [(31, 64), (64, 31), (8, 8)])
    def test_a_smaller_original_is_refused(self, rows: int, columns: int) -> None:
        with pytest.raises(DatasetError, match=rf"{rows} x {columns} .* smaller than 32 x 32"):
            Resize((32, 32))(noise(rows, columns))

    def test_a_smaller_original_is_enlarged_on_request(self) -> None:
        assert Resize((32, 32), allow_upscaling=True)(noise(8, 20)).size == (32, 32)

    def test_a_palette_image_is_refused_because_pillow_would_not_filter_it(self) -> None:
        with pytest.raises(DatasetError, match="mode L or RGB, got 'P'"):
            Resize((8, 8))(noise(16, 16).convert("P"))

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"size": (32,)}, r"two integers above 0, got \(32,\)"),
            ({"size": (32, 0)}, "two integers above 0"),
            ({"size": (32, 32.0)}, "two integers above 0"),
            ({"size": (8, 8), "filter": "nearest"}, "'nearest'; choose one of: box, bilinear"),
            ({"size": (8, 8), "geometry": "pad"}, "'pad'; choose one of: crop, stretch"),
        ],
    )
    def test_a_wrong_field_is_named_with_what_is_accepted(
        self, fields: dict[str, object], message: str
    ) -> None:
        with pytest.raises(DatasetError, match=message):
            Resize(**fields)  # type: ignore[arg-type]


class TestAugmentation:
    def test_a_crop_is_a_window_of_its_own_image(self) -> None:
        batch = numbered_batch(64, 12, 11)
        cropped = Augmentation(crop_margin=4)(batch, generator=generator())
        assert cropped.shape == (64, 3, 8, 7)
        for number, image in enumerate(cropped):
            top, left = int(image[0, 0, 0]), int(image[1, 0, 0])
            assert torch.equal(image, batch[number, :, top : top + 8, left : left + 7])

    def test_crops_reach_every_corner_in_every_combination(self) -> None:
        cropped = Augmentation(crop_margin=2)(numbered_batch(250, 6, 6), generator=generator())
        corners = {(int(image[0, 0, 0]), int(image[1, 0, 0])) for image in cropped}
        assert corners == {(row, column) for row in range(3) for column in range(3)}

    def test_about_half_of_the_images_are_mirrored_and_the_others_are_not(self) -> None:
        batch = numbered_batch(250, 4, 4)
        flipped = Augmentation(flip=True)(batch, generator=generator())
        mirrored = sum(torch.equal(a, b.flip(-1)) for a, b in zip(flipped, batch, strict=True))
        same = sum(torch.equal(a, b) for a, b in zip(flipped, batch, strict=True))
        assert mirrored + same == 250
        assert 95 < mirrored < 155

    def test_a_mirrored_crop_is_the_mirror_image_of_a_crop(self) -> None:
        batch = numbered_batch(40, 8, 8)
        result = Augmentation(flip=True, crop_margin=2)(batch, generator=generator())
        for number, image in enumerate(result):
            plain = image if image[1, 0, 0] < image[1, 0, 1] else image.flip(-1)
            top, left = int(plain[0, 0, 0]), int(plain[1, 0, 0])
            assert torch.equal(plain, batch[number, :, top : top + 6, left : left + 6])

    def test_the_same_generator_state_gives_the_same_images(self) -> None:
        augment, batch = Augmentation(flip=True, crop_margin=3), numbered_batch(9, 8, 8)
        first = augment(batch, generator=generator(5))
        assert torch.equal(first, augment(batch, generator=generator(5)))
        assert not torch.equal(first, augment(batch, generator=generator(6)))

    def test_without_options_nothing_is_drawn_and_nothing_changes(self) -> None:
        batch, source = numbered_batch(2, 4, 4), generator()
        before = source.get_state()
        assert torch.equal(Augmentation()(batch, generator=source), batch)
        assert torch.equal(source.get_state(), before)

    def test_the_central_crop_is_central(self) -> None:
        centre = Augmentation(crop_margin=4).centre(numbered_batch(2, 12, 12))
        assert centre.shape == (2, 3, 8, 8)
        assert centre[0, :2, 0, 0].tolist() == [2, 2]

    def test_images_no_larger_than_the_margin_are_refused(self) -> None:
        with pytest.raises(DatasetError, match=r"H \+ 8, W \+ 8\), got \(2, 3, 8, 8\)"):
            Augmentation(crop_margin=8)(numbered_batch(2, 8, 8), generator=generator())

    def test_a_negative_margin_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="0 or more, got -1"):
            Augmentation(crop_margin=-1)

    def test_a_generator_of_another_device_is_refused(self) -> None:
        with pytest.raises(DatasetError, match=r"generator is on cpu, the images are on meta"):
            Augmentation(flip=True)(numbered_batch(1, 4, 4).to("meta"), generator=generator())


class TestWindows:
    @pytest.mark.parametrize(("step", "sides"), [(2, {4, 6, 8}), (3, {6}), (4, {4, 8}), (8, {8})])
    def test_sides_are_the_multiples_between_half_of_the_image_and_all_of_it(
        self, step: int, sides: set[int]
    ) -> None:
        source, cut = generator(), Windows(step=step, share=1.0)
        shapes = {
            tuple(cut(numbered_batch(1, 8, 8), generator=source).shape[2:]) for _ in range(150)
        }
        assert shapes == {(height, width) for height in sides for width in sides}

    def test_each_is_a_part_of_its_own_image_with_its_corner_on_the_grid(self) -> None:
        batch, source, corners = numbered_batch(60, 16, 12), generator(), set()
        for _ in range(40):
            parts = Windows(step=4, share=1.0)(batch, generator=source)
            height, width = parts.shape[2:]
            for number, part in enumerate(parts):
                top, left = int(part[0, 0, 0]), int(part[1, 0, 0])
                assert torch.equal(part, batch[number, :, top : top + height, left : left + width])
                corners.add((top, left))
        assert corners == {(top, left) for top in (0, 4, 8) for left in (0, 4)}

    def test_a_share_of_the_batches_is_cut_and_the_others_are_whole(self) -> None:
        source, cut = generator(), Windows(step=4, share=0.5)
        batch = numbered_batch(1, 32, 32)
        whole = sum(cut(batch, generator=source) is batch for _ in range(400))
        assert 160 < whole < 240

    def test_the_same_generator_state_gives_the_same_windows(self) -> None:
        batch, cut = numbered_batch(9, 16, 16), Windows(step=2, share=1.0)
        first = cut(batch, generator=generator(5))
        assert torch.equal(first, cut(batch, generator=generator(5)))
        assert not torch.equal(first, cut(batch, generator=generator(6)))

    @pytest.mark.parametrize("step", [0, -8, 1.5])
    def test_a_step_that_is_no_number_of_pixels_is_refused(self, step: Any) -> None:
        with pytest.raises(DatasetError, match="1 or more, got"):
            Windows(step=step)

    def test_a_step_larger_than_the_image_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="steps of 16 do not fit into 8 pixels"):
            Windows(step=16, share=1.0)(numbered_batch(1, 8, 8), generator=generator())

"""Images become as few bytes as the likelihood says, and come back bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("constriction")

from pixelbayes.core import FUSIONS
from pixelbayes.core.likelihood import LEVELS
from pixelbayes.inference.cached import sample_cached
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.inference.codec import (
    TOTAL,
    CodecError,
    Extents,
    TileCodec,
    shortest_conditions,
    table_of,
)


def whole(images: int, size: tuple[int, int], grey: bool = False) -> Extents:
    return Extents(
        torch.full((images,), size[0]), torch.full((images,), size[1]), torch.full((images,), grey)
    )


def round_trip(network, levels, extents, conditions, width: int = 4):
    codec = TileCodec(network, uniform_log_prior(network.config.classes), width)
    code = codec.encode(levels, extents, conditions)
    return code, codec.decode(code, extents)


@pytest.mark.parametrize("image_size", [(8, 8), (9, 11)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_decoded_is_what_was_encoded(
    tiny_network, random_levels, fusion, channels, image_size
):
    network = tiny_network(fusion=fusion, channels=channels, image_size=image_size).float()
    levels = random_levels(3, network.config)
    _, decoded = round_trip(network, levels, whole(3, image_size), torch.tensor([0, 2, 1]))
    assert decoded.equal(levels)


def test_every_option_of_the_network_is_coded(tiny_network, random_levels, option):
    network = tiny_network(**option).float()
    levels = random_levels(3, network.config)
    extents, prior = whole(3, network.config.image_size), uniform_log_prior(network.config.classes)
    conditions = shortest_conditions(network, levels, extents, prior)
    _, decoded = round_trip(network, levels, extents, conditions)
    assert decoded.equal(levels)


STATE = 64  # bits that end a stream


def test_the_code_of_likely_images_is_as_long_as_the_likelihood_says(tiny_network):
    network = tiny_network(channels=3).float()
    labels = torch.arange(16) % network.config.classes
    levels = sample_cached(network, labels, generator=torch.Generator().manual_seed(0))
    code, _ = round_trip(network, levels, whole(16, (8, 8)), labels, width=16)
    with torch.no_grad():
        nats = -network(levels, labels).log_prob(levels).double().sum()
    expected = float(nats) / math.log(2) + 16 * math.log2(network.config.classes)
    assert -STATE <= 8 * len(code) - expected <= STATE + 1e-3 * expected


@pytest.mark.parametrize("grey", [False, True])
def test_the_code_of_any_images_is_as_long_as_their_tables_say(tiny_network, random_levels, grey):
    network = tiny_network(channels=3).float()
    levels = random_levels(16, network.config)
    labels = torch.arange(16) % network.config.classes
    if grey:
        levels = levels[:, :1].repeat(1, 3, 1, 1)
    code, _ = round_trip(network, levels, whole(16, (8, 8), grey), labels, width=16)
    with torch.no_grad():
        described = network(levels, labels)
    expected = 16 * math.log2(network.config.classes)
    for channel in range(1 if grey else 3):
        numbers = torch.from_numpy(table_of(described.cdf(levels, channel).movedim(1, -1))) + 1
        number = numbers.gather(-1, levels[:, channel, :, :, None].long())
        expected -= float((number / TOTAL).log2().sum())
    assert -STATE <= 8 * len(code) - expected <= STATE + 1e-3 * expected


@pytest.mark.parametrize("grey", [False, True])
def test_patches_of_any_extent_lie_in_one_tile(tiny_network, random_levels, grey):
    network = tiny_network(channels=3).float()
    levels = random_levels(4, network.config)
    if grey:
        levels = levels[:, :1].repeat(1, 3, 1, 1)
    rows, columns = torch.tensor([8, 1, 3, 8]), torch.tensor([8, 1, 8, 5])
    extents = Extents(rows, columns, torch.tensor([grey, True, grey, grey]))
    levels[1] = levels[1, :1]
    _, decoded = round_trip(network, levels, extents, torch.tensor([0, 1, 2, 0]))
    for image in range(4):
        here = (image, slice(None), slice(rows[image]), slice(columns[image]))
        assert decoded[here].equal(levels[here])


def test_what_is_not_coded_takes_no_bits_and_changes_none(tiny_network, random_levels):
    network = tiny_network(channels=3).float()
    levels, others = random_levels(2, network.config), random_levels(2, network.config).flip(0)
    extents = Extents(torch.tensor([5, 8]), torch.tensor([7, 2]), torch.tensor([False, False]))
    others[0, :, :5, :7], others[1, :, :, :2] = levels[0, :, :5, :7], levels[1, :, :, :2]
    conditions = torch.tensor([1, 0])
    code, _ = round_trip(network, levels, extents, conditions)
    assert code == round_trip(network, others, extents, conditions)[0]
    assert len(code) < len(round_trip(network, levels, whole(2, (8, 8)), conditions)[0])


def test_a_filled_tile_codes_a_patch_as_a_tile_of_its_own(tiny_network, random_levels):
    network = tiny_network(channels=3).float()
    levels, labels = random_levels(4, network.config), torch.tensor([0, 1, 2, 1])
    codec = TileCodec(network, uniform_log_prior(network.config.classes), width=4)
    for image in range(4):
        alone = codec.encode(levels[image : image + 1], whole(1, (8, 8)), labels[image : image + 1])
        assert codec.decode(alone, whole(1, (8, 8))).equal(levels[image : image + 1])


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=300).filter(any))
@settings(max_examples=200, deadline=None)
def test_a_table_has_no_zero_and_sums_to_its_total(weights):
    share = np.cumsum([0.0, *weights]) / np.sum(weights)
    numbers = table_of(torch.from_numpy(np.minimum(share, 1.0))) + 1
    assert numbers.min() >= 1
    assert numbers.sum() == TOTAL
    assert np.abs(numbers / TOTAL - np.array(weights) / np.sum(weights)).max() < 302 / TOTAL


def test_constriction_spends_on_a_symbol_what_our_table_says():
    from constriction import stream

    family = stream.model.Categorical(perfect=False)
    numbers = np.array([1, 2**20, 2**22, TOTAL - 1 - 2**20 - 2**22])
    for symbol, number in enumerate(numbers):
        coder = stream.stack.AnsCoder()
        coder.encode_reverse(np.full(64, 2, np.int32), family, _rows(numbers))
        before = coder.num_bits()
        coder.encode_reverse(np.full(640, symbol, np.int32), family, _rows(numbers, 640))
        spent = (coder.num_bits() - before) / 640
        assert spent == pytest.approx(math.log2(TOTAL / number), abs=32 / 640)


def _rows(numbers, count: int = 64):
    return np.repeat(numbers[None] - 1.0, count, axis=0)


def test_a_class_that_is_known_costs_nothing(tiny_network, random_levels):
    network = tiny_network(channels=1).float()
    levels, labels = random_levels(16, network.config), torch.full((16,), 1)
    known = torch.full((network.config.classes,), -math.inf)
    known[1] = 0.0
    extents = whole(16, (8, 8))
    told = TileCodec(network, known, 16).encode(levels, extents, labels)
    prior = uniform_log_prior(network.config.classes)
    assert len(told) <= len(TileCodec(network, prior, 16).encode(levels, extents, labels))


def test_the_condition_is_the_one_with_the_shortest_code(tiny_network, random_levels):
    network = tiny_network(views=2, channels=1).float()
    levels = random_levels(3, network.config)
    classes = network.config.classes
    prior = torch.tensor([0.7, 0.2, 0.1]).log()
    chosen = shortest_conditions(network, levels, whole(3, (8, 8)), prior)
    with torch.no_grad():
        for image in range(3):
            lengths = [
                -float(network(seen, torch.tensor([label]), view).log_prob(seen) + prior[label])
                for view in range(2)
                for seen in (levels[image : image + 1].flip(-1) if view else levels[[image]],)
                for label in range(classes)
            ]
            assert int(chosen[image]) == int(np.argmin(lengths))


def test_a_patch_that_is_not_coded_whole_is_coded_as_it_is(tiny_network, random_levels):
    network = tiny_network(views=2, channels=1).float()
    levels, prior = random_levels(16, network.config), uniform_log_prior(network.config.classes)
    whole_patches = shortest_conditions(network, levels, whole(16, (8, 8)), prior)
    assert (whole_patches >= network.config.classes).any()
    chosen = shortest_conditions(network, levels, whole(16, (8, 7)), prior)
    assert (chosen < network.config.classes).all()


def test_each_image_is_decoded_in_the_view_it_was_coded_in(tiny_network, random_levels):
    network = tiny_network(views=2, channels=3).float()
    levels = random_levels(4, network.config)
    _, decoded = round_trip(network, levels, whole(4, (8, 8)), torch.tensor([0, 3, 5, 2]))
    assert decoded.equal(levels)


def test_the_fingerprint_tells_weights_widths_and_nothing_else(tiny_network):
    network = tiny_network(channels=3).float()
    prior = uniform_log_prior(network.config.classes)
    fingerprint = TileCodec(network, prior, 4).fingerprint()
    assert fingerprint == TileCodec(network, prior, 4).fingerprint()
    with torch.no_grad():
        network.output.bias[0] += 1e-3
    assert fingerprint != TileCodec(network, prior, 4).fingerprint()


def test_a_code_that_is_none_is_refused(tiny_network):
    network = tiny_network(channels=1).float()
    codec = TileCodec(network, uniform_log_prior(network.config.classes), 4)
    with pytest.raises(CodecError, match="whole words"):
        codec.decode(b"abc", whole(1, (8, 8)))
    with pytest.raises(CodecError, match="damaged"):
        codec.decode(b"\1\0\0\0" + bytes(4), whole(1, (8, 8)))
    with pytest.raises(CodecError, match="1 to 4 patches"):
        codec.decode(b"", whole(5, (8, 8)))
    with pytest.raises(CodecError, match="8 x 8 pixels"):
        codec.decode(b"", whole(1, (9, 8)))


def test_levels_have_a_table_each(tiny_network, random_levels):
    network = tiny_network(channels=3).float()
    levels, labels = random_levels(2, network.config), torch.tensor([0, 1])
    with torch.no_grad():
        described = network(levels, labels)
    assert table_of(described.cdf(levels, 1)[..., 0, 0]).shape == (2, LEVELS)

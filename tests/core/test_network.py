"""Labels, batches and configurations of the network."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.core import FUSIONS, PixelCNN, PixelCNNConfig
from pixelbayes.core.fusion import Entrances, Fusion, make_fusion
from pixelbayes.core.initialisation import initialise_from_data
from pixelbayes.core.layers import ElementDropout, WeightNormConv2d


def subclasses(cls: type) -> set[type]:
    return {cls}.union(*(subclasses(child) for child in cls.__subclasses__()))


def test_every_fusion_class_has_a_name_and_so_stands_in_the_parametrised_tests():
    named = {type(make_fusion(n, Entrances((2, 2)), classes=2, embedding=2)) for n in FUSIONS}
    public = {cls for cls in subclasses(Fusion) if not cls.__name__.startswith("_")} - {Fusion}
    assert named == public


@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_label_matters_at_the_start(fusion, random_levels):
    config = PixelCNNConfig(
        classes=3, image_size=(8, 8), features=6, blocks_per_stage=1, fusion=fusion
    )
    levels = random_levels(1, config).expand(3, -1, -1, -1)
    log_prob = PixelCNN(config).eval()(levels, torch.tensor([0, 1, 2])).log_prob(levels)
    torch.testing.assert_close(log_prob, log_prob[:1].expand(3))


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"head"}))  # which has more layers
def test_every_fusion_starts_as_the_unconditional_model(fusion, random_levels):
    config = PixelCNNConfig(classes=3, image_size=(8, 8), features=6, blocks_per_stage=1)
    conditional = PixelCNN(PixelCNNConfig(**{**vars(config), "fusion": fusion})).eval()
    plain = PixelCNN(PixelCNNConfig(**{**vars(config), "fusion": "none"})).eval()
    weights = {
        name: weight[:, :4] if name.startswith("input_") and weight.ndim == 4 else weight
        for name, weight in conditional.state_dict().items()
        if not name.startswith("fusion.")
    }
    plain.load_state_dict(weights)
    levels = random_levels(3, config)
    labels = torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        conditional(levels, labels).log_prob(levels), plain(levels, labels).log_prob(levels)
    )


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"none"}))
def test_changing_the_label_changes_the_log_likelihood(tiny_network, random_levels, fusion):
    network = tiny_network(fusion=fusion)
    levels = random_levels(1, network.config).expand(3, -1, -1, -1)
    log_prob = network(levels, torch.tensor([0, 1, 2])).log_prob(levels)
    assert len(set(log_prob.tolist())) == 3


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"none"}))
def test_every_fusion_can_learn_from_its_start(random_levels, fusion):
    """Zero weights must not stop the gradient for good: two steps reach every parameter."""
    torch.manual_seed(0)
    config = PixelCNNConfig(
        classes=3, image_size=(8, 8), features=6, blocks_per_stage=1, mixtures=2, fusion=fusion
    )
    network = PixelCNN(config).double().eval()
    levels, labels = random_levels(3, config), torch.tensor([0, 1, 2])
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4)
    for _ in range(2):
        optimiser.zero_grad()
        (-network(levels, labels).log_prob(levels).mean()).backward()
        optimiser.step()
    for name, parameter in network.fusion.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [(8, 8), (9, 11)])
def test_each_label_in_one_pass_equals_a_loop_over_labels(
    tiny_network, random_levels, fusion, channels, image_size
):
    network = tiny_network(fusion=fusion, channels=channels, image_size=image_size)
    levels, labels = random_levels(4, network.config), torch.tensor([2, 0, 1])
    crossed = network.for_each_label(levels, labels).log_prob(levels.repeat_interleave(3, 0))
    looped = [network(levels, label.expand(4)).log_prob(levels) for label in labels]
    torch.testing.assert_close(crossed.view(4, 3), torch.stack(looped, 1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"none"}))
def test_each_label_under_the_view_of_each_image_equals_a_loop(tiny_network, random_levels, fusion):
    network = tiny_network(fusion=fusion, views=2)
    levels, labels = random_levels(4, network.config), torch.tensor([2, 0, 1])
    views = torch.tensor([0, 1, 1, 0])
    crossed = network.for_each_label(levels, labels, views).log_prob(levels.repeat_interleave(3, 0))
    looped = [network(levels, label.expand(4), views).log_prob(levels) for label in labels]
    torch.testing.assert_close(crossed.view(4, 3), torch.stack(looped, 1), rtol=1e-12, atol=0)
    alone = [
        network(levels[i : i + 1], labels[:1], int(views[i])).log_prob(levels[i : i + 1])
        for i in range(4)
    ]
    torch.testing.assert_close(torch.cat(alone), looped[0], rtol=1e-12, atol=0)
    assert not looped[0].allclose(network(levels, labels[:1].expand(4)).log_prob(levels))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_one_view_is_the_network_without_views(fusion):
    names = [
        set(
            PixelCNN(
                PixelCNNConfig(
                    classes=3,
                    image_size=(8, 8),
                    features=4,
                    blocks_per_stage=1,
                    fusion=fusion,
                    views=views,
                )
            ).state_dict()
        )
        for views in (1, 1 + (fusion != "none"))
    ]
    assert not any(name.endswith("embedding.views") for name in names[0])
    assert all(name.endswith("embedding.views") for name in names[1] - names[0])


def test_a_network_of_two_views_starts_with_both_alike(random_levels):
    config = PixelCNNConfig(
        classes=3, image_size=(8, 8), features=4, blocks_per_stage=1, views=2, fusion="joint"
    )
    network, levels = PixelCNN(config).eval(), random_levels(2, config)
    labels = torch.tensor([0, 1])
    assert torch.equal(
        network(levels, labels, 0).log_prob(levels), network(levels, labels, 1).log_prob(levels)
    )


def test_a_view_that_the_network_does_not_know_is_refused(tiny_network, random_levels):
    network = tiny_network(views=1)
    with pytest.raises(ValueError, match=r"this model has 1 view\(s\), got number 1"):
        network(random_levels(1, network.config), torch.tensor([0]), 1)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_log_prob_of_an_image_does_not_depend_on_its_batch(tiny_network, random_levels, fusion):
    network = tiny_network(fusion=fusion)
    levels, labels = random_levels(5, network.config), torch.tensor([0, 1, 2, 1, 0])
    together = network(levels, labels).log_prob(levels)
    alone = [
        network(levels[i : i + 1], labels[i : i + 1]).log_prob(levels[i : i + 1]) for i in range(5)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=0)


def test_dropout_is_element_wise_and_only_active_in_training(tiny_network, random_levels):
    network = tiny_network()
    levels, labels = random_levels(2, network.config), torch.tensor([0, 1])
    assert network(levels, labels).log_prob(levels).equal(network(levels, labels).log_prob(levels))
    network.train()
    assert (
        not network(levels, labels).log_prob(levels).equal(network(levels, labels).log_prob(levels))
    )


def test_the_likelihood_is_float32_where_the_network_runs_in_bfloat16(random_levels):
    config = PixelCNNConfig(classes=2, image_size=(8, 8), features=6, blocks_per_stage=1)
    network, levels = PixelCNN(config).eval(), random_levels(2, config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        described = network(levels, torch.tensor([0, 1]))
    assert described.means.dtype == torch.float32


@pytest.mark.parametrize("all_labels", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_under_autocast_every_feature_is_bfloat16_up_to_the_last_layer(
    random_levels, fusion, all_labels
):
    config = PixelCNNConfig(
        classes=2, image_size=(8, 8), features=6, blocks_per_stage=1, fusion=fusion
    )
    network, levels = PixelCNN(config).eval(), random_levels(2, config)
    wide: list[str] = []

    def record(name: str):
        def hook(module: torch.nn.Module, inputs: tuple[object, ...], output: object) -> None:
            tensors = [x for x in (*inputs, output) if isinstance(x, torch.Tensor)]
            if any(x.is_floating_point() and x.dtype != torch.bfloat16 for x in tensors):
                wide.append(name)

        return hook

    for name, module in network.named_modules():
        if isinstance(module, WeightNormConv2d):
            module.register_forward_hook(record(name))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        labels = torch.tensor([0, 1])
        (network.for_each_label if all_labels else network)(levels, labels)
    entrances = {"input_u", "input_row", "input_left"}  # they read the image itself
    assert set(wide) <= entrances | {"output"}


def test_initialisation_from_data_standardises_every_convolution(random_levels):
    config = PixelCNNConfig(classes=3, image_size=(8, 8), features=6, blocks_per_stage=1)
    network, levels = PixelCNN(config), random_levels(16, config)
    labels = torch.zeros(16, dtype=torch.int64)
    initialise_from_data(network, levels, labels)
    deviations: dict[str, float] = {}

    def record(name: str):
        def hook(module: WeightNormConv2d, _: object, output: torch.Tensor) -> None:
            std, mean = torch.std_mean(output, dim=(0, 2, 3), correction=0)
            error = (std / module.init_scale - 1).abs().max() + mean.abs().max()
            deviations[name] = error.item()

        return hook

    for name, module in network.named_modules():
        if isinstance(module, WeightNormConv2d) and module is not network.output:
            module.register_forward_hook(record(name))
    network.eval()(levels, labels)
    assert max(deviations.values()) < 1e-3, deviations


@pytest.mark.parametrize("channels", [1, 3])
def test_initialisation_from_data_already_predicts_pixels(channels):
    torch.manual_seed(0)
    config = PixelCNNConfig(
        classes=2, image_size=(8, 8), channels=channels, features=12, blocks_per_stage=1
    )
    smooth = torch.linspace(30, 200, 64).view(1, 1, 8, 8) + 25 * torch.randn(32, channels, 1, 1)
    levels = (smooth + 3 * torch.randn(32, channels, 8, 8)).clamp(0, 255).to(torch.uint8)
    labels = torch.zeros(32, dtype=torch.int64)
    network = PixelCNN(config).eval()
    untouched = network(levels, labels).log_prob(levels).mean()
    initialise_from_data(network, levels, labels)
    assert not network.training
    assert network(levels, labels).log_prob(levels).mean() > untouched + 0.5 * config.dims


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dropout": 50}, "did you mean 0.5"),
        ({"dropout": -0.1}, r"probability in \[0, 1\)"),
        ({"fusion": "flim"}, "choose one of: none, early"),
        ({"channels": 4}, "1 .grey. or 3"),
        ({"image_size": (7, 32)}, "at least 8"),
        ({"views": 3}, r"views is a number in 1\.\.2"),
        ({"views": 2, "fusion": "none"}, "several views need a fusion"),
        ({"features": (4, 8)}, "features is one number, or one for each of 3 resolutions"),
        ({"blocks_per_stage": (1, 0, 1)}, "blocks_per_stage is a positive whole number"),
        ({"head_layers": 0}, "head_layers is a positive whole number"),
        ({"attention": "all"}, "unknown attention 'all'; choose one of: none, lowest, full"),
        ({"label_channels": "x"}, "unknown label_channels 'x'; choose one of: divided"),
        ({"dropout_of": "x"}, "unknown dropout_of 'x'; choose one of: elements"),
        ({"features": 0}, "features is a positive whole number"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_accepted(change, message):
    with pytest.raises(ValueError, match=message):
        PixelCNNConfig(**{"classes": 2, **change})


def test_images_of_another_size_are_refused(tiny_network):
    with pytest.raises(ValueError, match="resize the images"):
        tiny_network()(torch.zeros(1, 3, 9, 9, dtype=torch.uint8), torch.tensor([0]))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_window_of_the_upper_rows_is_described_like_these_rows_while_training(
    tiny_network, random_levels, fusion
):
    network = tiny_network(fusion=fusion, dropout=0.0, image_size=(16, 12))
    levels, labels = random_levels(3, network.config), torch.tensor([0, 1, 2])

    whole = network(levels, labels)
    with pytest.raises(ValueError, match="describes images of"):
        network(levels[:, :, :8], labels)
    window = network.train()(levels[:, :, :8], labels)

    for name, described in vars(window).items():
        expected = getattr(whole, name)[..., :8, :]
        torch.testing.assert_close(described, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("attention", "size"), [("full", (8, 12)), ("none", (24, 12))])
def test_no_window_is_larger_than_the_image_nor_seen_by_attention(
    tiny_network, random_levels, attention, size
):
    network = tiny_network(attention=attention, image_size=(16, 12)).train()
    with pytest.raises(ValueError, match="describes images of"):
        network(torch.zeros(1, 3, *size, dtype=torch.uint8), torch.tensor([0]))


def test_a_number_of_labels_that_differs_from_the_images_is_refused(tiny_network):
    with pytest.raises(ValueError, match="1 images but 2 labels"):
        tiny_network()(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_dropout_on_a_cpu_drops_the_stated_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(4, 16, 50, 50).to(memory_format=torch.channels_last)
    dropped = ElementDropout(p).train()(x)
    share = (dropped == 0).double().mean().item()
    assert share == pytest.approx(round(p * 256) / 256, abs=4 * (0.25 / x.numel()) ** 0.5)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)


def test_dropout_drops_elements_independently_of_their_neighbours():
    torch.manual_seed(0)
    kept = (ElementDropout(0.5).train()(torch.ones(1, 64, 64, 64)) != 0).double() - 0.5
    for axis in (1, 2, 3):
        correlation = 4 * (kept * kept.roll(1, dims=axis)).mean().abs().item()
        assert correlation < 4 / kept.numel() ** 0.5


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("image_size", "step"), [((8, 8), 4), ((13, 9), 4), ((17, 8), 8)])
def test_an_image_described_in_slices_of_rows_is_described_as_a_whole(
    tiny_network, random_levels, fusion, image_size, step
):
    network = tiny_network(fusion=fusion, image_size=image_size)
    levels, labels = random_levels(2, network.config), torch.tensor([2, 0])
    carry: dict[torch.nn.Module, torch.Tensor] = {}
    pieces = [
        network.describe_rows(levels, labels, slice(row, min(row + step, image_size[0])), carry)
        for row in range(0, image_size[0], step)
    ]
    for name, whole in vars(network(levels, labels)).items():
        in_slices = torch.cat([getattr(piece, name) for piece in pieces], dim=-2)
        torch.testing.assert_close(in_slices, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("image_size", "step"), [((8, 8), 4), ((13, 9), 4), ((17, 8), 8)])
def test_slices_of_rows_know_every_option(tiny_network, random_levels, option, image_size, step):
    network = tiny_network(image_size=image_size, **option)
    levels, labels = random_levels(2, network.config), torch.tensor([2, 0])
    carry: dict[torch.nn.Module, torch.Tensor] = {}
    pieces = [
        network.describe_rows(levels, labels, slice(row, min(row + step, image_size[0])), carry)
        for row in range(0, image_size[0], step)
    ]
    for name, whole in vars(network(levels, labels)).items():
        in_slices = torch.cat([getattr(piece, name) for piece in pieces], dim=-2)
        torch.testing.assert_close(in_slices, whole, rtol=1e-10, atol=1e-12)


def test_each_label_in_one_pass_knows_every_option(tiny_network, random_levels, option):
    network = tiny_network(**option)
    levels, labels = random_levels(4, network.config), torch.tensor([2, 0, 1])
    crossed = network.for_each_label(levels, labels).log_prob(levels.repeat_interleave(3, 0))
    looped = [network(levels, label.expand(4)).log_prob(levels) for label in labels]
    torch.testing.assert_close(crossed.view(4, 3), torch.stack(looped, 1), rtol=1e-12, atol=0)


def test_every_option_starts_from_data_and_trains(random_levels, option):
    torch.manual_seed(0)
    settings = {"features": 6, "blocks_per_stage": 1, "mixtures": 2, "dropout": 0.1, **option}
    config = PixelCNNConfig(classes=3, image_size=(8, 8), **settings)
    network = PixelCNN(config).train()
    levels, labels = random_levels(16, config), torch.arange(16) % 3
    initialise_from_data(network, levels, labels)
    (-network(levels, labels).log_prob(levels).mean()).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_channels_are_dropped_as_a_whole(tiny_network, random_levels):
    network = tiny_network(dropout_of="channels").train()
    seen = []
    network.encoder[0][0].u.conv_out.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    network(random_levels(4, network.config), torch.tensor([0, 1, 2, 0]))
    dropped = (seen[0] == 0).flatten(2)
    assert dropped.all(dim=2).any()
    assert dropped.all(dim=2).equal(dropped.any(dim=2))


def test_undivided_label_channels_are_the_embedding_itself(tiny_network):
    labels = torch.tensor([0, 2])
    divided, undivided = (
        tiny_network(fusion="early", label_channels=how).conditioning(labels).input
        for how in ("divided", "undivided")
    )
    torch.testing.assert_close(undivided, 4 * divided)


def test_a_slice_that_starts_between_two_coarse_rows_is_refused(tiny_network, random_levels):
    network = tiny_network()
    with pytest.raises(ValueError, match="multiple of 4"):
        network.describe_rows(random_levels(1, network.config), torch.tensor([0]), slice(2, 8), {})

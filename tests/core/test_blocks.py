"""A gated residual block is its formula, wherever the label enters, and keeps the order of pixels.

The expected values are written out from the block's weights with PyTorch's own operations.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.blocks import (
    ENCODER_GATE_SCALE,
    GatedResidual,
    Stream,
    TwoStreamBlock,
    elu_projection,
)
from pixelbayes.core.conditioning import BlockConditioning
from pixelbayes.core.layers import (
    DownRightShiftedConv2d,
    DownShiftedConv2d,
    PointwiseConv2d,
)

FEATURES = 3
ROWS, COLUMNS = 5, 6
KINDS = [DownShiftedConv2d, DownRightShiftedConv2d, PointwiseConv2d]


def random_map(seed: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, FEATURES, ROWS, COLUMNS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def random_vector(seed: int, width: int = FEATURES, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, width, generator=generator, dtype=torch.float64)


def block(kind: type, skips: int, dropout: nn.Module | None = None) -> GatedResidual:
    torch.manual_seed(4)
    made = GatedResidual(
        kind, FEATURES, skips, gate_scale=1.0, dropout=dropout or nn.Identity()
    ).double()
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight)
    return made.eval()


def plain_convolution(layer: nn.Module, x: Tensor) -> Tensor:
    kernel = layer.direction
    kernel = kernel * (layer.gain / kernel.flatten(1).norm(dim=1))[:, None, None, None]
    return F.conv2d(F.pad(x, layer.padding), kernel, layer.bias)


def activated(x: Tensor) -> Tensor:
    return F.elu(torch.cat([x, -x], dim=1))


def plain_block(
    made: GatedResidual, x: Tensor, skips: list[Tensor], entering: BlockConditioning
) -> Tensor:
    """x + a sigmoid(b), each term as the docstring has it."""
    h = plain_convolution(made.conv_in, activated(x))
    if skips:
        together = torch.cat([activated(skip) for skip in skips], dim=1)
        h = h + plain_convolution(made.skip, together)
    if entering.scale is not None:
        h = h * (1 + entering.scale[:, :, None, None])
    if entering.shift is not None:
        h = h + entering.shift[:, :, None, None]
    gates = plain_convolution(made.conv_out, activated(h))
    if entering.gates is not None:
        gates = gates + entering.gates[:, :, None, None]
    a, b = gates[:, :FEATURES], gates[:, FEATURES:]
    result = x + a / (1 + torch.exp(-b))
    if entering.result is not None:
        result = result + entering.result[:, :, None, None]
    return result


ENTRANCES = {
    "nothing": BlockConditioning(),
    "scale and shift": BlockConditioning(scale=random_vector(1), shift=random_vector(2)),
    "shift": BlockConditioning(shift=random_vector(3)),
    "gates": BlockConditioning(gates=random_vector(4, 2 * FEATURES)),
    "result": BlockConditioning(result=random_vector(5)),
    "everything": BlockConditioning(
        scale=random_vector(1),
        shift=random_vector(2),
        gates=random_vector(4, 2 * FEATURES),
        result=random_vector(5),
    ),
}


@pytest.mark.parametrize("entering", ENTRANCES.values(), ids=ENTRANCES)
@pytest.mark.parametrize("skips", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gated_block_is_its_formula(kind, skips, entering):
    made, x = block(kind, skips), random_map(0)
    others = [random_map(10 + number) for number in range(skips)]
    out = made(Stream.of(x), tuple(Stream.of(other) for other in others), entering)
    torch.testing.assert_close(out.features, plain_block(made, x, others, entering))
    torch.testing.assert_close(out.activated, activated(out.features))


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_with_silent_gates_hands_its_input_on(kind):
    made, x = block(kind, 0), random_map(0)
    nn.init.zeros_(made.conv_out.gain)
    nn.init.zeros_(made.conv_out.bias)
    assert made(Stream.of(x), (), BlockConditioning()).features.equal(x)


def test_the_labels_of_an_image_share_what_comes_before_them():
    """B images meet R labels: the same as each pair alone, the labels of an image neighbours."""
    made, x, skip = block(DownRightShiftedConv2d, 1), random_map(0), random_map(1)
    shift = random_vector(3, batch=4)
    crossed = made(
        Stream.of(x), (Stream.of(skip),), BlockConditioning(image_count=2, shift=shift)
    ).features
    for image in range(2):
        for label in range(4):
            alone = made(
                Stream.of(x[image : image + 1]),
                (Stream.of(skip[image : image + 1]),),
                BlockConditioning(shift=shift[label : label + 1]),
            )
            torch.testing.assert_close(crossed[4 * image + label], alone.features[0])


def test_dropout_meets_the_features_between_the_two_convolutions_and_no_others():
    class Recording(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(x)
            return torch.zeros_like(x)

    recording = Recording()
    made, x = block(DownShiftedConv2d, 0, recording), random_map(0)
    out = made(Stream.of(x), (), BlockConditioning()).features
    (seen,) = recording.seen
    torch.testing.assert_close(seen, activated(plain_convolution(made.conv_in, activated(x))))
    a, b = made.conv_out.bias.chunk(2)  # all that is left of the gates
    torch.testing.assert_close(out, x + (a * torch.sigmoid(b))[:, None, None])


def two_streams() -> TwoStreamBlock:
    torch.manual_seed(4)
    return TwoStreamBlock(FEATURES, decoder=True, dropout=nn.Identity()).double().eval()


def reaching(output: int, made: TwoStreamBlock) -> dict[str, bool]:
    """Which of the four inputs a block's output depends on."""
    inputs = {
        name: random_map(i).requires_grad_() for i, name in enumerate(("u", "ul", "su", "sl"))
    }
    streams = made(
        (Stream.of(inputs["u"]), Stream.of(inputs["ul"])),
        (Stream.of(inputs["su"]), Stream.of(inputs["sl"])),
        (BlockConditioning(), BlockConditioning()),
    )
    gradients = torch.autograd.grad(
        streams[output].features.sum(), list(inputs.values()), allow_unused=True
    )
    return {
        name: gradient is not None and bool(gradient.any())
        for name, gradient in zip(inputs, gradients, strict=True)
    }


def test_the_stream_from_above_never_reads_the_other():
    """Or the pixel to the right would be seen through it."""
    assert reaching(0, two_streams()) == {"u": True, "ul": False, "su": True, "sl": False}


def test_the_stream_of_the_row_reads_what_the_one_from_above_has_just_computed():
    made = two_streams()
    assert reaching(1, made) == {"u": True, "ul": True, "su": True, "sl": True}
    nn.init.zeros_(made.ul.skip.gain)  # its door to the other stream and to the short cut
    assert reaching(1, made) == {"u": False, "ul": True, "su": False, "sl": False}


@pytest.mark.parametrize(("decoder", "scale"), [(False, ENCODER_GATE_SCALE), (True, 1.0)])
def test_new_gates_are_quiet_on_the_way_in_only(decoder, scale):
    made = TwoStreamBlock(FEATURES, decoder=decoder, dropout=nn.Identity())
    for stream in (made.u, made.ul):
        assert stream.conv_out.init_scale == scale
        assert stream.conv_out.gain.equal(torch.full((2 * FEATURES,), scale))
        assert stream.conv_in.init_scale == 1.0


def test_short_cuts_enter_on_the_way_out_only():
    way_in = TwoStreamBlock(FEATURES, decoder=False, dropout=nn.Identity())
    way_out = TwoStreamBlock(FEATURES, decoder=True, dropout=nn.Identity())
    widths = [
        None if stream.skip is None else stream.skip.direction.shape[1]
        for made in (way_in, way_out)
        for stream in (made.u, made.ul)
    ]
    assert widths == [None, 2 * FEATURES, 2 * FEATURES, 4 * FEATURES]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_last_layer_is_computed_in_float32_from_narrow_features(dtype):
    layer, h = PointwiseConv2d(FEATURES, 4), random_map(0).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = elu_projection(h, layer)
    wide = elu_projection(h.float(), layer)
    assert narrow.dtype == torch.float32
    assert narrow.equal(wide)

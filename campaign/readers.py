"""Thousands of inputs through the readers: each is read rightly or refused, never wrongly."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch

from campaign.inputs import Collection, collection, picture, spoiled
from campaign.records import Findings
from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.data import Resize, load_dataset, read_image
from pixelbayes.data.inputs import image_levels
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Metadata, PixelBayes, load_model

__all__ = ["read_all"]

CHECKED = ("png",)
"""Formats with a checksum: a changed bit is found.  In the others only missing bytes are."""
SHARES = {
    "image": 0.5,
    "damaged image": 0.2,
    "array": 0.1,
    "folder": 0.04,
    "table": 0.04,
    "archive": 0.04,
    "damaged archive": 0.04,
    "damaged checkpoint": 0.04,
}


def read_all(number: int, seed: int, place: Path) -> Findings:
    """Reads generated inputs and compares with what they were made of.

    Args:
        number: How many, of all kinds.
        seed: Of the generator.
        place: An empty folder to write them to.
    """
    found = Findings()
    kinds: dict[str, Callable[[random.Random, Path, Findings], None]] = {
        "image": _image,
        "damaged image": _damaged_image,
        "array": _array,
        "folder": _collection("folder"),
        "table": _collection("table"),
        "archive": _collection("archive"),
        "damaged archive": _damaged_archive,
        "damaged checkpoint": _damaged_checkpoint,
    }
    for kind, share in SHARES.items():
        for index in range(max(round(number * share), 1)):
            case = f"{kind} {index}"
            rng = random.Random(f"{seed} {case}")
            folder = place / "case"
            folder.mkdir()
            found.tried[kind] += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    kinds[kind](rng, folder, found)
            except Exception as error:
                found.faulty += 1
                found.note(f"{case}: {type(error).__name__}: {error}")
            shutil.rmtree(folder)
    return found


def _compare(found: Findings, what: str, seen: np.ndarray, expected: np.ndarray) -> None:
    if seen.shape != expected.shape or not np.array_equal(seen, expected):
        found.wrong += 1
        found.note(f"{what}: other pixels than were written")


def _image(rng: random.Random, folder: Path, found: Findings) -> None:
    drawn = picture(rng)
    suffix = rng.choice((drawn.suffix, drawn.suffix.upper(), "jpg", "dat"))  # the content decides
    file = folder / f"a.{suffix}"
    file.write_bytes(drawn.data)
    for channels in (1, 3):
        expected = drawn.seen(channels)
        seen = read_image(file, channels=channels, resize=Resize(expected.shape[1:]))
        _compare(found, f"{drawn.what}, {channels} channels", seen.numpy(), expected)


def _damaged_image(rng: random.Random, folder: Path, found: Findings) -> None:
    drawn = picture(rng)
    file = folder / f"a.{drawn.suffix}"
    file.write_bytes(spoiled(rng, drawn.data, bits=drawn.suffix in CHECKED))
    expected = drawn.seen(3)
    try:
        seen = read_image(file, channels=3, resize=Resize(expected.shape[1:]))
    except PixelBayesError as error:
        found.refused += str(file) in str(error)
        return
    _compare(found, f"damaged {drawn.what}", seen.numpy(), expected)


def _array(rng: random.Random, folder: Path, found: Findings) -> None:
    rows, columns = rng.randint(5, 20), rng.randint(5, 20)  # no side could be the channels
    count = rng.randint(5, 7)
    grey = rng.random() < 0.5
    shape = (count, rows, columns) if grey else (count, rows, columns, 3)
    levels = np.frombuffer(rng.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    expected = levels[:, None] if grey else levels.transpose(0, 3, 1, 2)
    forms: list[Any] = [
        levels,
        torch.from_numpy(expected.copy()),
        list(levels),
        [torch.from_numpy(image.copy()) for image in expected],
    ]
    form = rng.randrange(len(forms))
    batch = image_levels(forms[form], channels=1 if grey else 3, resize=Resize((rows, columns)))
    _compare(found, f"array in form {form}", batch.levels.numpy(), expected)


def _collection(kind: str) -> Callable[[random.Random, Path, Findings], None]:
    def read(rng: random.Random, folder: Path, found: Findings) -> None:
        made = collection(rng, folder, kind)
        loaded = load_dataset(made.source, channels=made.channels, image_size=made.size)
        _judge(found, made, loaded)

    return read


def _judge(found: Findings, made: Collection, loaded: Any) -> None:
    """Each image once, with its label."""
    left = dict(made.truth)
    for images in loaded.splits.values():
        for levels, label in zip(images.levels.numpy(), images.labels.tolist(), strict=True):
            known = left.pop(Collection.key(levels), None)
            if known != loaded.classes[label]:
                found.wrong += 1
                found.note(f"{made.source}: an image of {known} is read as {loaded.classes[label]}")
    if left:
        found.wrong += len(left)
        found.note(f"{made.source}: {len(left)} images are not read")


def _damaged_archive(rng: random.Random, folder: Path, found: Findings) -> None:
    made = collection(rng, folder, "archive")
    file = folder / "data.npz"
    file.write_bytes(spoiled(rng, file.read_bytes()))
    try:
        loaded = load_dataset(made.source, channels=made.channels, image_size=made.size)
    except PixelBayesError:
        found.refused += 1
        return
    _judge(found, made, loaded)


def _damaged_checkpoint(rng: random.Random, folder: Path, found: Findings) -> None:
    """A file cut short, or a bit of the weights changed: refused, or the same model."""
    network = tiny_network(rng)
    metadata = Metadata(
        classes=("a", "b"),
        resize=asdict(Resize((8, 8))),
        log_prior=(log(0.5), log(0.5)),
        temperature=rng.uniform(1, 9),
    )
    PixelBayes(network, metadata).save(folder / "model")
    name = rng.choice(("model.safetensors", "model.json"))
    file = folder / "model" / name
    file.write_bytes(spoiled(rng, file.read_bytes(), bits=name != "model.json"))
    try:
        loaded = load_model(folder / "model")
    except PixelBayesError:
        found.refused += 1
        return
    same = loaded.temperature == metadata.temperature and all(
        weight.equal(network.state_dict()[key])
        for key, weight in loaded.network.state_dict().items()  # type: ignore[attr-defined]
    )
    if not same:
        found.wrong += 1
        found.note(f"damaged {name}: read as another model")


def tiny_network(rng: random.Random) -> PixelCNN:
    """A network with random weights."""
    torch.manual_seed(rng.randrange(2**31))
    return PixelCNN(
        PixelCNNConfig(
            classes=2,
            image_size=(8, 8),
            channels=1,
            features=2,
            blocks_per_stage=1,
            mixtures=1,
            embedding=2,
        )
    )

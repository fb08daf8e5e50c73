"""Figures that others published for the models of a study, to set beside one's own.

They are copied by hand from the sources named here; nothing is computed from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixelbayes.errors import PixelBayesError

__all__ = ["PUBLISHED", "Published", "PublishedModel", "published_study"]


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """Published figures of one model; None where the source states none."""

    accuracy: Mapping[str, float] = field(default_factory=dict)
    """By split, in %."""
    fid: float | None = None
    """Under the course protocol, 192 dimensions."""
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """What one source states, by the names that the models have in a study."""

    source: str
    """Author, title, institution."""
    models: Mapping[str, PublishedModel]
    notes: tuple[str, ...]
    """What a reader must know to compare, a sentence each."""


CPEN455 = Published(
    source="R. Sharma, CPEN455 2024 W2 Course Project: Conditional PixelCNN++ for Image "
    "Classification, University of British Columbia",
    models={
        "early": PublishedModel(accuracy={"train": 41.7, "validation": 44.28}, fid=33.7, epochs=75),
        "gated": PublishedModel(accuracy={"train": 60.5, "validation": 68.7}, fid=34.14, epochs=75),
        "late": PublishedModel(accuracy={"train": 46.6, "validation": 46.28}, fid=27.04, epochs=75),
        "joint": PublishedModel(accuracy={"train": 52.9, "validation": 50.0}, fid=33.54, epochs=75),
        "resnet18": PublishedModel(accuracy={"train": 98.23, "validation": 85.93, "test": 87.07}),
        "gated-long": PublishedModel(
            accuracy={"train": 92.5, "validation": 77.26, "test": 78.19}, fid=28.0, epochs=300
        ),
    },
    notes=(
        "Published figures: one seed, no intervals; the number of validation images is not "
        "stated, the test accuracies are of 518 images.",
        "For 300 epochs of gated fusion the source states a validation accuracy of 77.26 % in its "
        "table and 77.6 % in its text.",
        "The source's FID is that of the course protocol on 192 features (100 generated images of "
        "32x32 against the 64x64 test folder).",
    ),
)

PUBLISHED: Mapping[str, Published] = {"cpen455": CPEN455}


def published_study(name: str | None) -> Published | None:
    """Returns the published figures of a study, None for None.

    >>> published_study("cpen455").models["gated"].accuracy["validation"]
    68.7

    Raises:
        ValueError: If there are none under this name; the message lists the names.
    """
    if name is None:
        return None
    if name not in PUBLISHED:
        raise PixelBayesError(
            f"there are no published figures under {name!r}; choose one of: "
            f"{', '.join(PUBLISHED)}, or null for none"
        )
    return PUBLISHED[name]

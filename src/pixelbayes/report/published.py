"""Figures that others published for the models of a study, to set beside one's own.

They are copied by hand from the sources named here; nothing is computed from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixelbayes.errors import PixelBayesError
from pixelbayes.report.results import GENERATED

__all__ = ["PUBLISHED", "Published", "PublishedModel", "published_study"]


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """Published figures of one model; None where the source states none."""

    figures: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By split and name, as `ModelResult.measures`."""
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """What one source states, by the names that the models have in a study."""

    source: str
    """Author, title, institution."""
    models: Mapping[str, PublishedModel]
    notes: tuple[str, ...]
    """What a reader must know to compare, a sentence each."""


TRAIN, VALIDATION, TEST = (
    ("train", "accuracy"),
    ("validation", "accuracy"),
    ("test", "accuracy"),
)
FID = (GENERATED, "fid/course-192")

CPEN455 = Published(
    source="R. Sharma, CPEN455 2024 W2 Course Project: Conditional PixelCNN++ for Image "
    "Classification, University of British Columbia",
    models={
        "early": PublishedModel(figures={TRAIN: 41.7, VALIDATION: 44.28, FID: 33.7}, epochs=75),
        "gated": PublishedModel(figures={TRAIN: 60.5, VALIDATION: 68.7, FID: 34.14}, epochs=75),
        "late": PublishedModel(figures={TRAIN: 46.6, VALIDATION: 46.28, FID: 27.04}, epochs=75),
        "joint": PublishedModel(figures={TRAIN: 52.9, VALIDATION: 50.0, FID: 33.54}, epochs=75),
        "resnet18": PublishedModel(figures={TRAIN: 98.23, VALIDATION: 85.93, TEST: 87.07}),
        "gated-long": PublishedModel(
            figures={TRAIN: 92.5, VALIDATION: 77.26, TEST: 78.19, FID: 28.0}, epochs=300
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

    >>> published_study("cpen455").models["gated"].figures[VALIDATION]
    68.7

    Raises:
        ValueError: If there are none under this name; the message lists the names.
    """
    if name is None:
        return None
    if not isinstance(name, str) or name not in PUBLISHED:
        raise PixelBayesError(
            f"there are no published figures under {name!r}; choose one of: "
            f"{', '.join(PUBLISHED)}, or null for none"
        )
    return PUBLISHED[name]

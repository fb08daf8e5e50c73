"""Class-conditional PixelCNN++: classify, generate, score and complete images.

>>> import numpy as np
>>> import pixelbayes
>>> model = pixelbayes.load()
>>> photo = np.zeros((64, 64, 3), np.uint8)  # or a path, a Pillow image, a list, a loader ...
>>> answer = model.predict(photo)[0]
>>> answer.label in model.classes, len(answer.probabilities)
(True, 4)
>>> model.sample("koala", count=4)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pixelbayes.errors import naming_extras

if TYPE_CHECKING:
    from pixelbayes.core import DiscretizedLogisticMixture, PixelCNN, PixelCNNConfig, bits_per_dim
    from pixelbayes.estimator import PixelBayesClassifier
    from pixelbayes.inference import BayesClassifier
    from pixelbayes.models import Model, PixelBayes, Prediction
    from pixelbayes.models.hub import load

__version__ = "0.1.0.dev0"

__all__ = [
    "BayesClassifier",
    "DiscretizedLogisticMixture",
    "Model",
    "PixelBayes",
    "PixelBayesClassifier",
    "PixelCNN",
    "PixelCNNConfig",
    "Prediction",
    "bits_per_dim",
    "load",
]

HOMES = {
    "BayesClassifier": "pixelbayes.inference",
    "DiscretizedLogisticMixture": "pixelbayes.core",
    "Model": "pixelbayes.models",
    "PixelBayes": "pixelbayes.models",
    "PixelBayesClassifier": "pixelbayes.estimator",
    "PixelCNN": "pixelbayes.core",
    "PixelCNNConfig": "pixelbayes.core",
    "Prediction": "pixelbayes.models",
    "bits_per_dim": "pixelbayes.core",
    "load": "pixelbayes.models.hub",
}
"""Where each public name is defined: imported when it is asked for, since torch takes seconds."""


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with naming_extras():
        value: object = getattr(import_module(HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

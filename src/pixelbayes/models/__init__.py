"""What is loaded and saved: one protocol, several kinds of model."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelbayes.models.base import MODELS, Metadata, Model, TrainedNetwork, load_model
    from pixelbayes.models.diffusion import DiffusionModel
    from pixelbayes.models.ensemble import Ensemble
    from pixelbayes.models.pixelcnn import PixelBayes
    from pixelbayes.models.prediction import Prediction
    from pixelbayes.models.resnet import ResNetClassifier
    from pixelbayes.models.storage import CheckpointError

__all__ = [
    "MODELS",
    "CheckpointError",
    "DiffusionModel",
    "Ensemble",
    "Metadata",
    "Model",
    "PixelBayes",
    "Prediction",
    "ResNetClassifier",
    "TrainedNetwork",
    "load_model",
]

KINDS = {
    "DiffusionModel": "diffusion",
    "Ensemble": "ensemble",
    "PixelBayes": "pixelcnn",
    "ResNetClassifier": "resnet",
}
"""Where each kind is defined; all are imported with the first name that is asked for."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for kind, module in KINDS.items():
        globals()[kind] = getattr(import_module(f"{__name__}.{module}"), kind)
    for module in ("base", "prediction", "storage"):
        found = import_module(f"{__name__}.{module}")
        globals().update({part: getattr(found, part) for part in __all__ if hasattr(found, part)})
    value: object = globals()[name]
    return value

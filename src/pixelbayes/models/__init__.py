"""What is loaded and saved: one protocol, several kinds of model."""

from pixelbayes.models.base import MODELS, Metadata, Model, TrainedNetwork, load_model
from pixelbayes.models.ensemble import Ensemble
from pixelbayes.models.pixelcnn import PixelBayes
from pixelbayes.models.resnet import ResNetClassifier
from pixelbayes.models.storage import CheckpointError

__all__ = [
    "MODELS",
    "CheckpointError",
    "Ensemble",
    "Metadata",
    "Model",
    "PixelBayes",
    "ResNetClassifier",
    "TrainedNetwork",
    "load_model",
]

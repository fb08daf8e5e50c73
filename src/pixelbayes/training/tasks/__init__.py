"""What Lightning calls at each step, one class for each kind of model that is trained."""

from pixelbayes.training.tasks.base import TrainingTask
from pixelbayes.training.tasks.classifier import ClassifierTask
from pixelbayes.training.tasks.pixelcnn import PixelCNNTask

__all__ = ["ClassifierTask", "PixelCNNTask", "TrainingTask"]

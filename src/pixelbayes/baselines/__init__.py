"""Baselines: discriminative classifiers to set beside Bayes' rule, with the same verbs.

The network is monai's, which is imported when one is built (extra `baselines`).
"""

from pixelbayes.baselines.classifier import Classifier
from pixelbayes.baselines.errors import BaselineError
from pixelbayes.baselines.resnet18 import ResNet18

__all__ = ["BaselineError", "Classifier", "ResNet18"]

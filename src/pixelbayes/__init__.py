"""Class-conditional PixelCNN++: classify, generate, score and complete images.

>>> import pixelbayes
>>> model = pixelbayes.load("runs/demo")  # doctest: +SKIP
>>> model.classifier().predict(levels)  # doctest: +SKIP
>>> model.sample(["koala", "pizza"], seed=7)  # doctest: +SKIP
"""

from pixelbayes.core import DiscretizedLogisticMixture, PixelCNN, PixelCNNConfig, bits_per_dim
from pixelbayes.inference import BayesClassifier, PixelBayes

__version__ = "0.1.0.dev0"

load = PixelBayes.load

__all__ = [
    "BayesClassifier",
    "DiscretizedLogisticMixture",
    "PixelBayes",
    "PixelCNN",
    "PixelCNNConfig",
    "bits_per_dim",
    "load",
]

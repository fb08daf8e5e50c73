"""The model itself: p(image | label), exact.  Needs torch and nothing else.

Reading order: `likelihood`, `layers`, `blocks`, `fusion`, `network`.
"""

from pixelbayes.core.config import PixelCNNConfig
from pixelbayes.core.fusion import FUSIONS
from pixelbayes.core.likelihood import DiscretizedLogisticMixture, bits_per_dim
from pixelbayes.core.network import PixelCNN

__all__ = ["FUSIONS", "DiscretizedLogisticMixture", "PixelCNN", "PixelCNNConfig", "bits_per_dim"]

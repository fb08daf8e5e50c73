"""Fine-tune a trained model to another set of classes, from few images (needs training)."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pixelbayes import PixelBayes, PixelBayesClassifier


def main(
    images: npt.NDArray[np.uint8] | None = None,
    labels: list[str] | None = None,
    epochs: int = 5,
    source: str | Path | PixelBayes = "cpen455-gated",
) -> PixelBayesClassifier:
    """Trains on your images from the weights of another model; without images, on two textures."""
    if images is None or labels is None:
        random = np.random.default_rng(0)
        stripes = np.zeros((20, 32, 32, 3), np.uint8)
        stripes[:, ::4] = 200
        noise = random.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
        images, labels = np.concatenate([stripes, noise]), ["stripes"] * 20 + ["noise"] * 20
    classifier = PixelBayesClassifier(init_from=source, epochs=epochs, random_state=0)
    classifier.fit(images, labels)
    print(f"{classifier.model_}, accuracy {classifier.score(images, labels):.1%} of its own images")
    return classifier


if __name__ == "__main__":
    main()

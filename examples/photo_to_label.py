"""From a photograph to its label, in one line and in detail: python photo_to_label.py PHOTO..."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pixelbayes
from pixelbayes import Model, Prediction


def main(photos: Sequence[str | Path], model: Model | None = None) -> list[Prediction]:
    """Classifies photographs with the shipped model, or with another one."""
    model = pixelbayes.load() if model is None else model
    answers = model.predict(photos)
    for answer in answers:
        print(f"{answer.source}: {answer.label}, {answer.confidence:.1%}")
        for name, nats in answer.log_likelihoods.items():
            print(f"  log p(x | {name}) = {nats:.1f} nats")
        if answer.unlike_training:
            print("  unlike the images that the model was trained on")
    print(model(photos, top_k=2))  # as pipelines of image classification answer
    return answers


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit("usage: python photo_to_label.py PHOTO..."))

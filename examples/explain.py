"""Where does the evidence lie?  Writes a picture of it: python explain.py PHOTO."""

import sys
from pathlib import Path

import pixelbayes
from pixelbayes import Model


def main(photo: str | Path, output: str | Path = "evidence.png", model: Model | None = None) -> str:
    """Explains the answer for one photograph."""
    model = pixelbayes.load() if model is None else model
    found = model.explain(photo)
    print(found)
    answer, other = found.classes[:2]
    pair = model.explain(photo, answer, against=other).evidence.sum()
    first, second = model.log_likelihood([photo, photo], [answer, other])
    print(
        f"against {other} alone the map sums to {pair:.3f} nats, "
        f"and log p(image | class) differs by {first - second:.3f}"
    )
    found.figure().save(output)
    return str(found)


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else sys.exit("usage: python explain.py PHOTO"))

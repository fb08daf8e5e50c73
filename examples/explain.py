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
    share = float(found.evidence.sum() - found.log_odds)
    print(f"the map of {tuple(found.evidence.shape)} sums to the log-odds but for {share:.1e} nats")
    found.figure().save(output)
    return str(found)


if __name__ == "__main__":
    main(sys.argv[1])

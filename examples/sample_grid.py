"""Draw images of every class and lay them out in a grid, a row for each class."""

from pathlib import Path

import pixelbayes
from pixelbayes import Model
from pixelbayes.data import grid, write_png


def main(
    output: str | Path = "samples.png", count: int = 8, seed: int = 0, model: Model | None = None
) -> Path:
    """Writes a PNG that holds exactly the drawn levels."""
    model = pixelbayes.load() if model is None else model
    levels = model.sample(count=count, generator=seed, output_type="levels")
    write_png(grid(levels, columns=count), Path(output))
    print(f"{', '.join(model.classes)}: {count} images of each in {output}")
    return Path(output)


if __name__ == "__main__":
    main()

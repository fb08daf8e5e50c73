"""Share a model: a folder with a card, or the Hugging Face Hub (needs the extra hub)."""

from pathlib import Path

import pixelbayes
from pixelbayes import Model


def main(
    folder: str | Path = "my-model", repo_id: str | None = None, model: Model | None = None
) -> Model:
    """Writes a model and its card, uploads it if an id is given, and loads it again."""
    model = pixelbayes.load() if model is None else model
    model.save_pretrained(folder)
    print((Path(folder) / "README.md").read_text(encoding="utf-8"))
    if repo_id is None:
        return pixelbayes.load(Path(folder))
    print(model.push_to_hub(repo_id, private=True))
    return pixelbayes.load(f"hf:{repo_id}")


if __name__ == "__main__":
    main()

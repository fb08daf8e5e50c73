"""`pixelbayes audit`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import UsageError, command, rows_and_columns

__all__ = ["app", "audit"]

SHOWN_IN_TERMINAL = 10
EXAMPLES = """
  pixelbayes audit photos
  pixelbayes audit photos --model runs/photos-2 --output doubts
  pixelbayes audit csv:labels.csv --folds 3 --epochs 20
"""


def audit(
    folder: str,
    *,
    model: str | None = None,
    data_dir: Path | None = None,
    folds: int | None = None,
    epochs: int | None = None,
    image_size: str | None = None,
    seed: int | None = None,
    shown: int = 60,
    output: Path = Path("audit"),
    overwrite: bool = False,
    device: Device = "auto",
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Finds images whose labels are doubtful.

    Each image is judged by a model that was not trained on it: small ones that are trained on the
    other images, fold by fold, or the one of --model, without the images that it was trained on.
    cleanlab ranks the labels.  Writes audit.csv (every image, the most doubtful first) and
    audit.html (the first of them to look at).

    Args:
        folder: Folder with a sub-folder for each class, or another source of labelled images:
            digits, cpen455, cifar10, csv:PATH or npz:PATH.
        model: Run directory, checkpoint folder or name of a shipped model that judges (default:
            small models are trained).
        data_dir: Where the files of cpen455 or cifar10 are.
        folds: In how many parts the images are left out in turn (default: 5).
        epochs: Of each training (default: 12).
        image_size: Rows and columns at which the small models see images, such as 64x64 (default:
            the source's own; 32x32 for files of several sizes, or of a larger one).
        seed: Of the folds and the trainings (default: 0).
        shown: Images on the page.
        output: Folder to write to.
        overwrite: Replace an earlier audit in that folder; other files are never replaced.
        device: Where the model runs; auto takes a GPU if there is one.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.models.hub import find_model
    from pixelbayes.workflows.audit import FOLDS, SMALL, audit_by_folds, audit_by_model, write_audit
    from pixelbayes.workflows.outputs import Kind, require_free

    if shown < 1 or (epochs is not None and epochs < 1):
        raise UsageError(f"--shown and --epochs are 1 or more, got {shown} and {epochs}")
    of_folds = {"--folds": folds, "--epochs": epochs, "--image-size": image_size, "--seed": seed}
    given = [name for name, value in of_folds.items() if value is not None]
    if model is not None and given:
        raise UsageError(
            f"{', '.join(given)} say how small models are trained, and with --model none is; "
            "leave one or the other out"
        )
    require_free(output, Kind.AUDIT, overwrite=overwrite)
    with terminal.Progress() as progress:
        told = None if quiet else progress
        if model is not None:
            found = audit_by_model(
                folder,
                find_model(model),
                data_dir=data_dir,
                device=resolve(device),
                progress=told,
            )
        else:
            training = replace(
                SMALL.training,
                epochs=epochs or SMALL.training.epochs,
                accelerator="gpu" if resolve(device) == "cuda" else "cpu",
            )
            found = audit_by_folds(
                folder,
                data_dir=data_dir,
                image_size=None if image_size is None else rows_and_columns(image_size),
                folds=FOLDS if folds is None else folds,
                config=replace(SMALL, training=training, seed=seed or 0),
                progress=told,
            )
    write_audit(output, found, shown=shown)
    if not quiet:
        terminal.note(f"judged by {found.judged_by}")
    terminal.show_table(
        [
            [one.name, one.given, f"{one.of_given:.2%}", one.suggested, f"{one.of_suggested:.1%}"]
            for one in found.most_doubtful(SHOWN_IN_TERMINAL)
        ],
        ["file", "label", "its probability", "most probable", "its probability"],
    )
    terminal.show_text(
        f"{found.suspected} of {len(found.images)} labels are taken for wrong; written: "
        f"{output / 'audit.csv'}, {output / 'audit.html'}"
    )
    return 0


app = partial(command, audit, usage="[OPTIONS] FOLDER", examples=EXAMPLES)

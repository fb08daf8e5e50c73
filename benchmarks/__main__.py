"""The benchmarks' command line.

    python -m benchmarks                     everything that this machine can measure
    python -m benchmarks sampling --quick    one of them, in a minute, with rough numbers
    python -m benchmarks losses --data cpen455 --data-dir DIR
    python -m benchmarks port PATH           beside a public port, in a copy of your own
    python -m benchmarks anytime RUN --data-dir DIR
    python -m benchmarks scoring RUN --data-dir DIR

Each prints its tables and leaves NAME.json, NAME.md and figures; what README.md and
docs/performance.md say of them follows (`benchmarks.summary`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import (
    anytime,
    classification,
    gpu,
    losses,
    peer,
    port,
    sampling,
    scaling,
    scoring,
    training,
)
from benchmarks.records import write
from benchmarks.subjects import trained
from benchmarks.summary import main as write_documents
from pixelbayes.errors import PixelBayesError

__all__ = ["main"]

OUTPUT, QUICK_OUTPUT = Path("docs/results/benchmarks"), Path("runs/benchmarks")
WITHOUT_ARGUMENTS = {
    "sampling": sampling,
    "classification": classification,
    "training": training,
    "scaling": scaling,
    "gpu": gpu,
    "peer": peer,
}
DATA = {"losses", "all"}
TRAINED = {"anytime", "scoring"}
ORIGINAL_SIZE = (64, 64)  # of the course's images


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 also where this machine lacks what a benchmark needs, 2 for a
    run or data that cannot be used."""
    given = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    chosen = [*WITHOUT_ARGUMENTS, "losses"] if given.benchmark == "all" else [given.benchmark]
    for name in chosen:
        missing = _missing(name)
        if missing is not None:
            print(missing)
            continue
        print(f"{name} ...", file=sys.stderr)
        try:
            _run(name, given)
        except PixelBayesError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


def _run(name: str, given: argparse.Namespace) -> None:
    if name == "anytime":
        plan = anytime.QUICK if given.quick else anytime.FULL
        model, dataset = trained(given.run, given.data_dir, given.limit)
        record, figures = anytime.measure(plan, model, dataset), anytime.draw
    elif name == "scoring":
        ways = scoring.QUICK if given.quick else scoring.FULL
        model, originals = trained(given.run, given.data_dir, given.limit, tuple(given.original))
        record, figures = scoring.measure(ways, model.network, originals), scoring.draw
    elif name == "port":
        beside = port.QUICK if given.quick else port.FULL
        record, figures = port.measure(beside, given.path), port.draw
    elif name == "losses":
        settings = losses.QUICK if given.quick else losses.FULL
        record = losses.measure(replace(settings, data=given.data, data_dir=given.data_dir))
        figures = losses.draw
    else:
        module = WITHOUT_ARGUMENTS[name]
        record, figures = module.measure(module.QUICK if given.quick else module.FULL), module.draw
    output = given.output or (QUICK_OUTPUT if given.quick else OUTPUT)
    paths = write(record, output, figures(record))
    if output == OUTPUT:
        write_documents()
    print(record.to_markdown())
    print("wrote", *paths, file=sys.stderr)


def _missing(name: str) -> str | None:
    if name == "peer" and not peer.is_installed():
        return peer.INSTALL
    if name == "gpu" and not torch.cuda.is_available():
        return gpu.NO_GPU
    return None


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--quick",
        action="store_true",
        help="few, small measurements that show that all works; their numbers are rough",
    )
    common.add_argument(
        "--output",
        type=Path,
        help=f"folder of the results; {OUTPUT} by default, {QUICK_OUTPUT} with --quick",
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures pixelbayes.", parents=[common]
    )
    parser.set_defaults(benchmark="all", data="digits", data_dir=None)
    commands = parser.add_subparsers(title="benchmarks", metavar="BENCHMARK")
    descriptions = {
        "all": "all that need no trained weights (the default)",
        "sampling": "cached against naive sampling",
        "classification": "all classes at once against one by one",
        "training": "training steps against plain PyTorch",
        "losses": "the first losses of both",
        "scaling": "growth of time and memory",
        "peer": "TensorFlow Probability",
        "port": "training steps and drawn images beside a public PyTorch port",
        "gpu": "everything on a GPU",
        "anytime": "agreement and cost of the any-time classifier on trained weights",
        "scoring": "what scores owe to the filter, to rounding and to tails, on trained weights",
    }
    for name, text in descriptions.items():
        # Its defaults must not undo what was given before the name.
        command = commands.add_parser(
            name, help=text, description=text, parents=[_optional(common)]
        )
        command.set_defaults(benchmark=name)
        if name in DATA:
            command.add_argument("--data", default="digits", help="source of the images")
            command.add_argument("--data-dir", type=Path, help="where its files are")
        if name == "port":
            command.add_argument("path", type=Path, help="the folder of a copy of the port")
        if name in TRAINED:
            command.add_argument("run", type=Path, help="a run directory with trained weights")
            command.add_argument("--data-dir", type=Path, help="folder of the data")
            command.add_argument("--limit", type=int, help="at most so many images of a split")
        if name == "scoring":
            command.add_argument(
                "--original",
                type=int,
                nargs=2,
                default=ORIGINAL_SIZE,
                metavar=("ROWS", "COLUMNS"),
                help="size of the images before they are reduced (default: 64 64)",
            )
    return parser


def _optional(common: argparse.ArgumentParser) -> argparse.ArgumentParser:
    again = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for action in common._actions:
        kind = {"type": action.type} if action.type else {"action": "store_true"}
        again.add_argument(*action.option_strings, help=action.help, **kind)
    return again


if __name__ == "__main__":
    sys.exit(main())

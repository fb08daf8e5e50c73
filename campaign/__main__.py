"""The campaign's command line.

    python -m campaign                       everything; under half an hour on two cores
    python -m campaign faults --seconds 300  one part, for so long

Leaves docs/results/campaign.json, and campaign.md made of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from campaign.parts import NUMBERS, run_part
from pixelbayes.io import write_json, write_whole
from pixelbayes.workflows.provenance import command, commit, now

__all__ = ["main"]

RESULTS = Path("docs/results/campaign.json")
ANSWERING = ("readers", "flows")
"""Parts whose answers are compared with known ones; the others ask what is lost."""
WORDS = {
    "readers": "inputs through the readers",
    "flows": "data sets through train, evaluate and predict, in one process",
    "faults": "faults at a write of train, resume, evaluate and study",
    "kills": "processes ended by SIGKILL while they train",
}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 if nothing was wrong, lost or a traceback, else 1."""
    given = _parser().parse_args(arguments)
    parts = [given.part] if given.part != "all" else [*NUMBERS]
    jobs = [(part, given.number or NUMBERS[part], given.seed, given.seconds) for part in parts]
    started = time.monotonic()
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(given.processes, len(jobs)), mp_context=spawned) as pool:
        found = dict(zip(parts, pool.map(run_part, jobs), strict=True))
    content: dict[str, Any] = {}
    if given.output.is_file():
        content = json.loads(given.output.read_text(encoding="utf-8"))
    source = {"command": command(), "commit": commit(), "date": now(), "seed": given.seed}
    content |= {part: {**result, **source} for part, result in found.items()}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    content = {part: content[part] for part in NUMBERS if part in content}
    write_json(given.output, content)
    write_whole(given.output.with_suffix(".md"), page(content))
    print(page(content), f"{time.monotonic() - started:.0f} s")
    return 0 if all(result["clean"] for result in found.values()) else 1


def page(content: dict[str, Any]) -> str:
    """The results for people, in Markdown."""
    lines = [
        "# Nothing wrong in silence, nothing lost: the campaign",
        "",
        "Generated inputs, whose pixels and labels the generator knows, and a fault at each write. "
        "Made by `make campaign` (`python -m campaign`); the numbers are those of "
        "[campaign.json](campaign.json).",
        "",
        "| | tried | refused, being damaged | survived | wrong answers | losses | tracebacks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part, found in content.items():
        judged = {**found, "wrong": found["wrong"] if part in ANSWERING else "-"}
        numbers = (judged[name] for name in ("refused", "survived", "wrong", "lost", "faulty"))
        lines.append(f"| {WORDS[part]} | {found['total']} | {' | '.join(map(str, numbers))} |")
    for part, found in content.items():
        tried = ", ".join(f"{kind} {number}" for kind, number in sorted(found["tried"].items()))
        lines += ["", f"## {WORDS[part][0].upper()}{WORDS[part][1:]}", "", f"Tried: {tried}."]
        if "rows" in found:
            lines.append(
                f"Rows of predictions judged: {found['rows']}. Peak memory after a tenth of them "
                f"{found['memory_after_a_tenth']} MiB, at the end {found['memory']} MiB."
            )
        lines += [f"* {note}" for note in found["notes"]]
        lines.append(
            f"`{found['command']}`, commit {found['commit'] or 'not recorded'}, seed "
            f"{found['seed']}, {found['date']}, {found['seconds']} s."
        )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m campaign", description=__doc__)
    parser.add_argument("part", nargs="?", choices=["all", *NUMBERS], default="all")
    parser.add_argument("--number", type=int, help="inputs or faults of each part")
    parser.add_argument("--seconds", type=float, default=1800.0, help="of each part, at most")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

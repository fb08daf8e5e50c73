"""Two processes answer as one does: each image once, in the same order, to the byte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pixelbayes.cli.main import main
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.processes import Processes

MakeFolder = Callable[[int], Path]

PROGRAM = """
import sys
from pixelbayes.cli.main import main
from pixelbayes.models import PixelBayes
from pixelbayes.workflows import stream
from pixelbayes.workflows.processes import joined_processes

stream.CHUNK = 2
compute = PixelBayes.log_likelihoods

def counted(self, levels, **options):
    sys.stderr.write(f"computed {len(levels)}\\n")
    return compute(self, levels, **options)

PixelBayes.log_likelihoods = counted
*arguments, predictions, scores = sys.argv[1:]
with joined_processes():
    for command in ["predict", "--resume", predictions], ["score", scores]:
        name, *options, output = command
        assert main([name, *arguments, output, *options]) == 0
"""


def torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    distributed = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in distributed}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launch, str(program), *arguments],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow  # starts three processes
def test_two_processes_write_the_bytes_of_one(
    tiny_model: PixelBayes,
    photo_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this build of torch has no gloo")
    from pixelbayes.workflows import stream

    monkeypatch.setattr(stream, "CHUNK", 2)
    tiny_model.save(tmp_path / "model")
    folder = photo_folder(9)
    (folder / "03b.png").write_bytes(b"no image")
    arguments = [str(tmp_path / "model"), str(folder), "--skip-bad-files", "-q", "-o"]
    alone, together = ([tmp_path / f"{what}-{n}.csv" for what in ("p", "s")] for n in (1, 2))
    for command, file in zip(("predict", "score"), alone, strict=True):
        assert main([command, *arguments, str(file)]) == 0
    predicted = alone[0].read_bytes().splitlines(keepends=True)
    together[0].write_bytes(b"".join(predicted[:6])[:-3])  # the header, four rows and a cut one

    done = torchrun(tmp_path, *arguments, *map(str, together))

    assert done.returncode == 0, done.stderr
    for one, two in zip(alone, together, strict=True):
        assert two.read_bytes() == one.read_bytes()
    assert done.stderr.count("going on after 4 rows") == 1
    assert done.stderr.count("left out, cannot be read") == 2
    counts = map(int, re.findall(r"computed (\d+)", done.stderr))
    one_to_compare = 1
    assert sum(counts) == one_to_compare + (9 - 4) + 9


def test_one_process_alone_does_all_the_work_in_order() -> None:
    assert [*Processes().in_turns(lambda i: 10 * i, 4, first=1)] == [10, 20, 30]


@pytest.mark.parametrize("count", [2, 3])
def test_processes_take_turns_and_each_piece_of_work_once(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[int] = []

    def work(number: int) -> None:
        did.append(number)

    monkeypatch.setattr(Processes, "gathered", lambda self, its: [its()] * self.count)
    for rank in range(count):
        assert len([*Processes(rank, count).in_turns(work, 7)]) == 7
    assert sorted(did) == [*range(7)]

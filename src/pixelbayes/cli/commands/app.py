"""`pixelbayes app`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import command

__all__ = ["app", "serve"]

LOCALHOST, PORT = "127.0.0.1", 7860
EXAMPLES = """
  pixelbayes app
  pixelbayes app runs/demo --port 8000
  pixelbayes app --open
"""


def serve(
    model: str | None = None,
    *,
    port: int = PORT,
    host: str = LOCALHOST,
    open_: bool = False,
    device: Device = "auto",
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Opens a page to classify, create and complete images, and to sort a folder of them.

    It runs on this machine and asks no other for anything.  Listed are the model that is named, the
    shipped ones and the runs in runs/.  Ctrl-C ends it.

    Args:
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-onepass, which is shipped).
        port: Port to listen at.
        host: Address to listen at; another than this machine's lets everyone who reaches it upload
            images and use the processor, without a password.
        open_: Open the page in this machine's browser.
        device: Where models run; auto takes a GPU if there is one.
        quiet: Print the address and nothing else.
        verbose: Say what is used, and where an error came from.
    """
    import sys
    import time

    from pixelbayes.app.models import offered_names
    from pixelbayes.app.server import is_this_machine, serving

    names, running_on = offered_names(model), resolve(device)
    if verbose:
        terminal.note(f"models: {', '.join(names)}; on {running_on}")
    if not is_this_machine(host):
        terminal.note(
            f"pixelbayes: at {host} everyone who reaches this machine can open the page, upload "
            "images and use its processor; there is no password"
        )
    if not quiet:
        terminal.note("pixelbayes: loading; the first images are being drawn")
    with (
        _ended_by_signals(),
        serving(names, host=host, port=port, device=running_on, open_browser=open_) as url,
    ):
        terminal.show_text(url)
        sys.stdout.flush()  # a program that started the page waits for it
        if not quiet:
            terminal.note("pixelbayes: open this address in a browser; Ctrl-C ends it")
        while True:
            time.sleep(3600)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ends as Ctrl-C does where the system or a closed terminal asks for it: uploads go then."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    alone = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, end) for number in numbers if alone}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


app = partial(command, serve, name="app", usage="[OPTIONS] [MODEL]", examples=EXAMPLES)

"""Pages in a browser that last until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mvgen.commands.job import Job

if TYPE_CHECKING:
    from viser import ViserServer


def wait(job: Job, server: ViserServer, needed: Sequence[object] | None = None) -> None:
    """Tell where the page is, until the person ends it: the way out, and an interruption only without what is needed.

    needed: what was saved so far; None where nothing has to be.
    """
    from mvgen.core.viewer.serve import url_of

    job.progress.close()
    job.progress.say(f"{url_of(server)}  (Ctrl-C ends)")
    try:
        while True:
            time.sleep(0.5)  # briefly: a signal that strikes another thread does not end it
    except KeyboardInterrupt:
        if needed is not None and not needed:
            raise

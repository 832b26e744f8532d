"""The real command line with the probe command added: ``python tests/cli/shell.py probe ...``."""

from __future__ import annotations

from pathlib import Path

import mvgen.commands
from mvgen.cli import app
from mvgen.cli.main import main

mvgen.commands.__path__.append(str(Path(__file__).parent / "probe_commands"))
app.COMMANDS["probe"] = "Copy a file, or fail in a given way"

if __name__ == "__main__":
    main()

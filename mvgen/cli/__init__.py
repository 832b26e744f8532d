"""How a person talks to mvgen: arguments, streams, progress, error lines, exit codes."""

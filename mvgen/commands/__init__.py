"""One file per subcommand: read arguments, load, call core, save, report. No algorithm lives here."""

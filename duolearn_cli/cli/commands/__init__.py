"""One module per command, with the command's name. Its `run` receives the checked configuration."""

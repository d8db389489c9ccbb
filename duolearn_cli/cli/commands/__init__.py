"""One module for each command, named like the command; its `main` receives the checked configuration."""

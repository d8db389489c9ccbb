"""The command line: commands, help, positional words, launching one or many jobs."""

"""The command line: commands, help texts, positional words, and the launch of one or many jobs."""

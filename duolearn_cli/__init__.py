"""DuoLearn: remove specialised medical knowledge from a language model, keep the rest, and prove both."""

from duolearn_cli.config.version import __version__ as __version__

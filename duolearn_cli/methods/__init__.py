"""Unlearning methods, one module each.

A method of your own takes what it needs from here: ``from duolearn_cli.methods import Method, Objective, setting``.
Nothing here imports torch, so that checking a configuration stays fast.
"""

from duolearn_cli.config.settings import setting
from duolearn_cli.config.unlearning import GeometryConfig, SparsityConfig
from duolearn_cli.methods.base import LEARNING_RATES, NO_ATTENTION, Attention, Method, Objective, Search
from duolearn_cli.methods.retaining import Retaining
from duolearn_cli.methods.tokens import Labels, Tokens, each_forget_item, each_preserved, of_forget, of_retain
from duolearn_cli.model.readings import Reading, kl_at, kl_of_others_at, nll_at

__all__ = [
    "LEARNING_RATES",
    "NO_ATTENTION",
    "Attention",
    "GeometryConfig",
    "Labels",
    "Method",
    "Objective",
    "Reading",
    "Retaining",
    "Search",
    "SparsityConfig",
    "Tokens",
    "each_forget_item",
    "each_preserved",
    "kl_at",
    "kl_of_others_at",
    "nll_at",
    "of_forget",
    "of_retain",
    "setting",
]

"""What a method declares is a hook or a setting: what nobody would read is refused, before anything is loaded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from omegaconf import OmegaConf

from duolearn_cli.cli.commands.common import reopen
from duolearn_cli.config.components import component_class
from duolearn_cli.config.compose import compose
from duolearn_cli.config.declarations import ALIKE, hook_kinds
from duolearn_cli.errors import ConfigError, RunError
from duolearn_cli.files import conf_dir, groups
from duolearn_cli.methods import (
    NO_ATTENTION,
    Attention,
    GeometryConfig,
    Method,
    Retaining,
    SparsityConfig,
    setting,
)
from duolearn_cli.methods.base import result_of
from duolearn_cli.pipeline.run_folder import Run

if TYPE_CHECKING:
    pass

HOOKS = set(hook_kinds(Method))


def own(*bases, **declared):
    """A method with what is declared; a name's type is that of its value, or of the hook that the value is for."""
    needed = {"labels": "answer", "objective": lambda self, tokens: None} if not bases else {}
    return type("Mine", bases or (Method,), {"__module__": __name__, **needed, **declared})


def settings(**fields):
    """A method with these fields: (type, default)."""
    made = [(name, kind, field(default_factory=default)) for name, (kind, default) in fields.items()]
    return dataclasses.make_dataclass("Mine", made, bases=(own(),))


def problems(kind):
    made = kind if "__dataclass_fields__" in vars(kind) else dataclass(kind)
    return list(made.class_problems())


@pytest.mark.parametrize("name", sorted(groups()["method"]))
def test_ours_declare_nothing_else(name):
    node = OmegaConf.load(conf_dir() / "method" / f"{name}.yaml")
    assert list(component_class(node, ()).class_problems()) == []


def test_a_method_that_declares_no_more_than_it_must_changes_nothing_else():
    method = dataclass(own())()
    assert method.attention == NO_ATTENTION and method.geometry == GeometryConfig(space="none")
    assert method.sparsity == SparsityConfig() and not method.answer_form and method.search == {}
    assert result_of(method) is None and list(method.problems()) == []


@pytest.mark.parametrize(
    "declared",
    [
        {"attention": Attention(depth=0.5)},
        {"attention": property(lambda self: Attention())},
        {"attention": cached_property(lambda self: Attention())},
        {"geometry": GeometryConfig()},
        {"answer_form": True},
        {"search": {"method.beta": [1.0, 2.0]}},
        {"labels": "text"},
        {"result": lambda self, start, end: start},
        {"result": staticmethod(lambda start, end: start)},
        {"problems": lambda self: iter(())},
        # Settings and helpers of the method's own, the nearest that ours have.
        {"attention_weight": 1.0, "attention_layers": 4, "retention": 1.0, "forget_loss": len, "form": "x"},
        {"_sparcity": 1.0},
    ],
)
def test_hooks_and_names_of_ones_own_are_accepted(declared):
    assert problems(own(**declared)) == []


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("sparcity", "sparsity"),
        ("Sparsity", "sparsity"),
        ("geometri", "geometry"),
        ("atention", "attention"),
        ("label", "labels"),
        ("lables", "labels"),
        ("serach", "search"),
        ("answerform", "answer_form"),
        ("answer_from", "answer_form"),
        ("results", "result"),
        ("problem", "problems"),
        ("objectives", "objective"),
    ],
)
@pytest.mark.parametrize("as_field", [False, True])
def test_a_name_that_is_nearly_a_hooks_is_refused(name, hook, as_field):
    kind = settings(**{name: (float, float)}) if as_field else own(**{name: 1.0})
    (problem,) = problems(kind)
    assert problem.startswith(f"Mine.{name} is no hook, so nothing would read it; did you mean '{hook}'?")
    assert "Rename it" in problem


def test_hooks_differ_more_from_each_other_than_slips_do():
    """Else the nearest one would be none of a slip's business."""
    import difflib

    assert all(difflib.get_close_matches(name, HOOKS - {name}, cutoff=ALIKE) == [] for name in HOOKS)


@pytest.mark.parametrize("kind", [GeometryConfig, SparsityConfig])
def test_what_only_the_loop_reads_counts_under_its_own_name_alone(kind):
    hook = {GeometryConfig: "geometry", SparsityConfig: "sparsity"}[kind]
    for made in (settings(restriction=(kind, kind)), own(restriction=kind())):
        (problem,) = problems(made)
        assert problem.startswith(f"Mine.restriction is no hook, so nothing would read it; did you mean '{hook}'?")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"attention": lambda self: Attention()}, "Mine.attention is of type function; needed: Attention; add @prop"),
        ({"geometry": "none"}, "Mine.geometry is of type str; needed: GeometryConfig."),
        ({"sparsity": SparsityConfig}, "Mine.sparsity is of type type; needed: SparsityConfig."),
        ({"search": [1, 2]}, "Mine.search is of type list; needed: Mapping."),
        ({"result": None}, "Mine.result is of type NoneType; needed: Callable."),
        ({"objective": 3}, "Mine.objective is of type int; needed: Callable."),
        ({"beta": setting(1.0, "never seen")}, "put @dataclass above the class"),
    ],
)
def test_a_hook_of_another_kind_is_refused(declared, said):
    (problem,) = own(**declared, __dataclass_fields__={}).class_problems()
    assert said in problem


def test_a_field_that_is_a_hook_has_the_hooks_type():
    assert problems(settings(geometry=(GeometryConfig, GeometryConfig), answer_form=(bool, bool))) == []
    (problem,) = problems(settings(geometry=(str, str)))
    assert problem == "Mine.geometry is of type str; needed: GeometryConfig."
    # A property without a setter is in its way.
    (problem,) = problems(settings(attention=(Attention, Attention)))
    assert problem.startswith("Mine.attention is a setting")


@pytest.mark.parametrize("labels", ["answers", "", None, 3])
def test_labels_are_answer_or_text(labels):
    (problem,) = (p for p in problems(own(labels=labels)) if "is of type" not in p)
    assert problem == f"Mine.labels is {labels!r}; allowed: 'answer' or 'text'."


def test_what_is_missing_is_named():
    assert problems(type("Mine", (Retaining,), {})) == ["Mine.forget_loss is missing; define it."]
    assert problems(type("Mine", (Method,), {"labels": "text"})) == ["Mine.objective is missing; define it."]
    nowhere = own(beta=1.0, __annotations__={"beta": "OrderedDict"})
    (problem,) = problems(nowhere)
    assert "name 'OrderedDict' is not defined. Import it at the top" in problem


PLUGIN = """
from dataclasses import dataclass
from duolearn_cli.methods import Method, Objective, Retaining, setting

@dataclass
class Old:
    labels = "answer"

    def objective(self, tokens):
        return Objective(tokens.nll.sum(), tokens.nll.sum())

@dataclass
class Misspelt(Retaining):
    sparcity: float = setting(0.1, "share of coordinates")

    def forget_loss(self, tokens, values):
        return -values.sum()

@dataclass
class Unfinished(Retaining):
    pass
"""
MOVED = "from duolearn_cli.fields import setting\n"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Two modules of the user's own in the current folder."""
    (tmp_path / "declared_plugin.py").write_text(PLUGIN)
    (tmp_path / "moved_plugin.py").write_text(MOVED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return ["+forget=surgery", "plugins=[declared_plugin,moved_plugin]"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("declared_plugin.Old", "from duolearn_cli.methods import Method; class Old(Method)"),
        ("declared_plugin.Misspelt", "did you mean 'sparsity'?"),
        ("declared_plugin.Unfinished", "Unfinished.forget_loss is missing"),
        ("moved_plugin.Mine", "No module named 'duolearn_cli.fields'. What a component of your own needs is handed on"),
    ],
)
def test_one_message_says_what_to_add(plugin, tmp_path, target, said):
    (tmp_path / "groups" / "method").mkdir(parents=True)
    (tmp_path / "groups" / "method" / "mine.yaml").write_text(f"# Mine\n_target_: {target}\n")
    with pytest.raises(ConfigError) as caught:
        compose("unlearn", [*plugin, "method=mine"], "groups")
    assert str(caught.value).startswith("method: ") and said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_of_an_old_method_is_not_gone_on_with(plugin, tmp_path):
    folder = Run.create(compose("unlearn", ["+forget=surgery", f"output_dir={tmp_path}/out"]), []).folder
    config = OmegaConf.load(folder / "config.yaml")
    config.method, config.plugins = {"_target_": "declared_plugin.Old"}, ["declared_plugin"]
    OmegaConf.save(config, folder / "config.yaml")
    with pytest.raises(RunError, match=r"class Old\(Method\)"):
        reopen(folder, ["plugins=[declared_plugin]"])

"""How settings are declared: one way, in which each says what it does."""

import dataclasses
from collections.abc import Iterator

import pytest
from omegaconf import OmegaConf

from duolearn_cli.config.components import component_class
from duolearn_cli.config.compose import compose
from duolearn_cli.config.explain import COMPONENTS, schema_type
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.config.settings import setting
from duolearn_cli.files import conf_dir, groups

OPTIONS = [(group, option) for group in COMPONENTS for option in groups()[group]]


@dataclasses.dataclass
class Inner:
    value: int = setting(3, "a number")


def odd() -> Inner:
    return Inner(5)


@dataclasses.dataclass
class Outer:
    names: list[str] = setting(["a"], "a list")
    pairs: dict[str, int] = setting({"a": 1}, "a dictionary")
    plain: Inner = setting(Inner)
    made: Inner = setting(odd)


def undescribed(owner: type, prefix: str = "") -> Iterator[str]:
    """Dotted keys of the settings, through all groups, that were declared otherwise or do not say what they do."""
    for spec in dataclasses.fields(owner):
        inner = schema_type(owner, spec.name)
        if dataclasses.is_dataclass(inner):
            yield from undescribed(inner, f"{prefix}{spec.name}.")
        elif not spec.metadata.get("help"):
            yield prefix + spec.name


def test_every_setting_says_what_it_does():
    assert list(undescribed(RunConfig)) == []


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids="=".join)
def test_every_setting_of_a_component_says_what_it_does(group, option):
    document = OmegaConf.load(conf_dir() / group / f"{option}.yaml")
    assert list(undescribed(component_class(document.get(group, document), ()))) == []


def test_what_is_declared_otherwise_is_found():
    @dataclasses.dataclass
    class Mixed:
        one: int = 1
        two: Outer = setting(Outer)
        three: int = setting(3)

    assert list(undescribed(Mixed, "mine.")) == ["mine.one", "mine.three"]


def test_instances_share_no_default():
    first, second = Outer(), Outer()
    first.names.append("b")
    first.pairs["b"] = 2
    first.plain.value = 7
    assert (second.names, second.pairs, second.plain.value) == (["a"], {"a": 1}, 3)
    assert OmegaConf.to_object(OmegaConf.structured(Outer)) == second


def test_a_function_makes_the_default():
    assert Outer().made == Inner(5)


def test_a_default_of_a_composed_configuration_is_its_own():
    one, other = (compose("unlearn", ["+forget=surgery"]) for _ in range(2))
    one.benchmark.seeds.append(9)
    assert other.benchmark.seeds == [0, 1, 2]

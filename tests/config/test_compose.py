"""Configurations: every shipped one composes, every wrong one is refused with its key, value and nearest match."""

import dataclasses
import itertools

import pytest
from omegaconf import OmegaConf

from duolearn_cli.__main__ import COMMANDS
from duolearn_cli.config.compose import component, component_class, compose
from duolearn_cli.config.words import ADDED_GROUPS
from duolearn_cli.errors import ConfigError
from duolearn_cli.files import conf_dir, groups

OPTIONS = [(group, name) for group, names in groups().items() for name in names]
SETTINGS = ("method", "dataset", "retain_from")  # groups whose files hold every setting
NEEDED = {"model=local": ["model.path=x"], "privacy=custom": ["privacy.epsilon=2"]}


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes(group, name):
    choice = f"{'+' if group in ADDED_GROUPS else ''}{group}={name}"
    overrides = [choice, *NEEDED.get(choice, []), *([] if group == "forget" else ["+forget=surgery"])]
    config = compose("unlearn", overrides)
    assert OmegaConf.missing_keys(config) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_configuration(command):
    needed = {"export": ["run=."]}.get(command, [])
    assert compose(command, ["+forget=surgery", *needed]).command == command


@pytest.mark.parametrize(("group", "name"), [option for option in OPTIONS if option[0] in SETTINGS])
def test_component_files_list_every_setting_with_the_class_default(group, name):
    document = OmegaConf.load(conf_dir() / group / f"{name}.yaml")
    node = document.get(group, document)
    owner = component_class(node, [])
    written = {key: value for key, value in OmegaConf.to_container(node).items() if key != "_target_"}
    assert set(written) == {field.name for field in dataclasses.fields(owner)}
    assert component(node) == owner()


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["model=tinny"], ["model=tinny", "tiny", "did you mean 'tiny'"]),
        (["+forget=surgry"], ["forget=surgry", "did you mean 'surgery'"]),
        (["seed=abc"], ["seed=abc", "a whole number"]),
        (["labels.fill=maybe"], ["labels.fill=maybe", "true or false"]),
        (["imperfect.missing_subjects=2"], ["imperfect.missing_subjects=2", "0 to 1"]),
        (["+ablation=no_boundry"], ["ablation=no_boundry", "did you mean 'no_boundary'"]),
        (["seed=-1"], ["seed=-1", "0 to"]),
        (["forget.concepts=surgery"], ["forget.concepts=surgery", "a list, such as [a,b]"]),
        (["hierarchy.level_weights=1"], ["hierarchy.level_weights=1", "a list of numbers"]),
        (["dataset.path=x"], ["dataset.path", "has none at all"]),
        (["sed=1"], ["sed", "did you mean 'seed'"]),
        (["+retain_from=minimd"], ["retain_from=minimd", "did you mean 'minimed'"]),
        (["+retain_from=medmcqa", "retain_from.pth=x"], ["retain_from.pth", "did you mean 'path'"]),
        (["+typo.x=1"], ["typo", "there is no such setting"]),
        (["+model.pth=x"], ["model.pth", "did you mean 'path'"]),
        (["split.max_forgt=3"], ["split.max_forgt", "did you mean 'max_forget'"]),
        (["method=npo", "method.bta=1"], ["method.bta", "did you mean 'beta'"]),
        (["method=npo", "+method.bta=1"], ["method.bta", "did you mean 'beta'"]),
        (["method=npo", "method.beta=x"], ["method.beta=x: expected a number"]),
        (["method=npo", "method.beta=-1"], ["method.beta=-1.0", "1e-06 or more"]),
        (["dataset=medmcqa", "dataset.pth=x"], ["dataset.pth", "did you mean 'path'"]),
        (["prompt.form=clze"], ["prompt.form=clze", "did you mean 'cloze'"]),
        (["split.unseen_fraction=2"], ["split.unseen_fraction=2.0", "0.05 to 0.9"]),
        (["privacy=eps5"], ["privacy=eps5", "eps4"]),
        (["resume=nowhere"], ["resume=nowhere", "no such folder"]),
        (["run=."], ["run=.", "resume=RUN"]),
        (["method._target_=os.system"], ["os.system", "plugins"]),
        (["method._target_=duolearn_cli.methods.npo.NOP"], ["duolearn_cli.methods.npo.NOP", "cannot be imported"]),
        (["hierarchy.level_weights=[1,2]"], ["hierarchy.level_weights", "four"]),
        (["learn.learning_rate=nan"], ["learn.learning_rate=nan"]),
        (["+forget=[surgery,anxiety]"], ["forget=[surgery,anxiety]", "-m +forget=", "forget=custom forget.concepts=["]),
        (["model=[tiny,local]"], ["model=[tiny,local]", "one option", "-m model="]),
        (["model={a: b}"], ["model={a: b}", "one option"]),
        (["model=null"], ["model=null", "one option", "tiny"]),
        (["~model"], ["model.name is not set"]),
        (["+forget=anxiety"], ["given twice"]),
        (["method=npo,duolearn"], ["method=npo,duolearn", "-m"]),
        (["seed=${nope}"], ["seed=${nope}", "'nope' not found"]),
        (["output_dir=${oc.env:DUOLEARN_NOPE}"], ["output_dir=${oc.env:DUOLEARN_NOPE}", "not found"]),
        (["seed=${seed}"], ["seed=${seed}", "Recursive"]),
        (["seed=${model.name}"], ["seed=${model.name}", "Integer"]),
        (["method=npo", "method.beta=${nope}"], ["method.beta=${nope}", "not found"]),
        (["hierarchy.level_weights=[1,${nope},1,1]"], ["hierarchy.level_weights.1=${nope}", "not found"]),
        (["forget.concepts=null"], ["forget.concepts=null", "a list, such as [a,b]"]),
        (["hierarchy.level_weights=null"], ["hierarchy.level_weights=null", "a list of numbers"]),
        (["hierarchy.level_weights=[nan,1,1,1]"], ["hierarchy.level_weights=[nan", "four numbers of 0 or more"]),
        (["hierarchy.level_weights=[inf,1,1,1]"], ["hierarchy.level_weights=[inf"]),
        (["seed=null"], ["seed=null", "a whole number."]),
        (["split.max_forget=x"], ["split.max_forget=x", "a whole number or null"]),
        (["learn=3"], ["learn=3", "settings: seed, epochs"]),
        (["split={max_forgt: 3}"], ["split.max_forgt", "did you mean 'max_forget'"]),
        (["split={max_forget: x}"], ["split.max_forget: expected a whole number"]),
        (["forget.name=../../evil"], ["forget.name=../../evil", "a name is part of a path"]),
        (["forget.name=a..b"], ["forget.name=a..b", "single dots"]),
        (["model.name=../x"], ["model.name=../x", "a name is part of a path"]),
        (["model.name="], ["model.name=", "a name is part of a path"]),
        (["hierarchy.name=.x"], ["hierarchy.name=.x", "a name is part of a path"]),
        (["method.geometry.metric=fischer"], ["method.geometry.metric=fischer", "did you mean 'fisher'"]),
        (["method.geometry.basis_sise=1"], ["method.geometry.basis_sise", "did you mean 'basis_size'"]),
        (["method.geometry=none"], ["method.geometry=none", "settings: space, follow"]),
        (["method.geometry.space=gradient", "method.geometry.metric=optimizer"], ["method.geometry.metric", "euclid"]),
        (["method.sparsity.fraction=2"], ["method.sparsity.fraction=2.0", "1e-09 to 1"]),
        (["unlearn.optimizer=adam"], ["unlearn.optimizer=adam", "did you mean 'Adam'"]),
        (
            ["unlearn.momentum=0.9"],
            ["unlearn.momentum=0.9", "AdamW", "unlearn.optimizer=SGD or unlearn.optimizer=RMSprop"],
        ),
        (["runtime.sharding=fsdp2"], ["runtime.sharding=fsdp2", "runtime.num_processes=2"]),
    ],
)
def test_mistakes_are_explained(overrides, parts):
    with pytest.raises(ConfigError) as caught:
        compose("unlearn", ["+forget=surgery", *overrides] if "+forget=surgry" not in overrides else overrides)
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_target_is_asked_for_by_name():
    with pytest.raises(ConfigError, match=r"\+forget=surgery"):
        compose("unlearn", [])
    assert compose("doctor", []).command == "doctor"


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        compose("unlearn", ["+forget=surgery", "sed=1", "split.max_forgt=3", "learn.epochs=many"])
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(ConfigError) as caught:
        compose("unlearn", ["+forget=surgery", "learn.epochs=0", "unlearn.batch_size=0"])
    assert len(str(caught.value).splitlines()) == 2


def test_user_groups_from_a_folder(tmp_path):
    tmp_path = tmp_path / "my (own) $groups, [all]"
    (tmp_path / "forget").mkdir(parents=True)
    (tmp_path / "forget" / "hernia.yaml").write_text(
        "# @package _global_\n# Hernias\nforget: {name: hernia, concepts: [hernia_surgery], subjects: [Surgery]}\n"
    )
    config = compose("unlearn", ["+forget=hernia"], str(tmp_path))
    assert config.forget.name == "hernia"
    assert groups(tmp_path)["forget"]["hernia"] == "Hernias"


def test_groups_hold_what_is_promised():
    promised = {
        "model": "tiny smollm2_135m qwen2_5_0_5b qwen2_5_7b llama3_1_8b local",
        "dataset": "minimed medmcqa mhqa local",
        "forget": "surgery anxiety depression trauma mental_health custom",
        "privacy": "none eps1 eps4 eps8 custom",
        "method": "duolearn gradient_ascent graddiff npo simnpo rmu wga satimp undial gru task_vector finetune_retain",
        "hierarchy": "medical4 mental_health4 mesh obo icd10cm csv",
    }
    found = groups()
    for group, names in promised.items():
        assert set(names.split()) <= found[group].keys()
    assert all(text for text in itertools.chain.from_iterable(names.values() for names in found.values()))


@pytest.mark.parametrize("name", sorted(groups()["ablation"]))
def test_an_ablation_changes_one_part_of_the_full_method_and_says_so(name):
    full, ablated = (
        OmegaConf.to_container(compose("unlearn", ["+forget=surgery", f"+ablation={chosen}"]))
        for chosen in ("full", name)
    )
    assert ablated.pop("ablation") == name and full.pop("ablation") == "full"
    changed = [key for key in full if full[key] != ablated[key]]
    assert len(changed) == (name != "full")

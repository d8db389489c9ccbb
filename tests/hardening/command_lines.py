"""Words on the command line that are wrong, extreme or hostile. Nothing is run or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hardening.row import Act, Row

PLAN = ("unlearn", "+forget=surgery", "--dry-run")
# The setting that the message must name, and the words.
SETTINGS: dict[str, tuple[str, ...]] = {
    "learn.seed": ("18446744073709551616", "-18446744073709551617", "1e400", "nan", "x" * 5000, "null", "[1]", "1.5"),
    "seed": ("18446744073709551616", "-1", "[1,2]", "{a: 1}", "true"),
    "split.seed": ("18446744073709551616", "-18446744073709551617", "abc"),
    "runtime.threads": ("100000000", "-1", "1e8", "99999999999999999999", "two"),
    "runtime.num_processes": ("10000", "0", "-2", "1e9", "99999999999999999999"),
    "runtime.device": ("tpu", "cuda:99", "", "[]"),
    "runtime.precision": ("fp8", "64", "null"),
    "runtime.hidden_cache_gb": ("-1", "nan", "1e300", "inf"),
    "learn.learning_rate": ("1e300", "nan", "inf", "-1", "-inf", "abc", "1e5"),
    "unlearn.learning_rate": ("1e300", "nan", "inf", "-1"),
    "learn.epochs": ("0", "-1", "1e18", "99999999999999999999", "nan"),
    "learn.batch_size": ("0", "-1", "99999999999999999999"),
    "unlearn.epochs": ("0", "-1", "99999999999999999999"),
    "unlearn.batch_size": ("0", "1.5", "99999999999999999999"),
    "unlearn.micro_batch": ("0", "-5", "99999999999999999999"),
    "unlearn.checkpoint_every": ("0", "-1"),
    "model.adapter.rank": ("0", "-1", "1e12", "99999999999999999999"),
    "model.adapter.alpha": ("0", "nan", "inf", "-1"),
    "model.adapter.dropout": ("2", "-0.1", "nan"),
    "model.adapter.layers": ("[99]", "[-1]", "some", "[1.5]"),
    "model.adapter.targets": ("[frobnicate]", "[]", "[null]"),
    "hierarchy.level_weights": ("[0,0,0,0]", "[1,1,1]", "[nan,1,1,1]", "[-1,1,1,1]", "[inf,1,1,1]", "[1e300,1,1,1]"),
    "output_dir": ("", "' '"),
    "cache_dir": ("''",),
    "split.unseen_fraction": ("1", "-0.1", "nan", "2"),
    "split.max_forget": ("0", "-1", "many"),
    "forget.concepts": ("[[surgery]]", "[{a: b}]", "[null]", "surgery"),
    "forget.name": ("'../../x'", "''", "a/b", "'\x1b]0;title\x07'", "x" * 300),
    "evaluation.max_items": ("-1", "nan"),
    "evaluation.batch_tokens": ("0", "-1"),
    "prompt.max_cut": ("2", "-1", "nan"),
    "tags": ("[[a]]", "{a: b}", "[null]"),
    "plugins": ("[../x]", "[os.path/]", "[[x]]", "['']", "[a b]"),
    "name": ("[a]", "{a: b}"),
    "method.update.basis_size": ("100000000", "0", "-1"),
}
# Whole command lines, and what the message names.
CUSTOM = ("unlearn", "+forget=custom", "--dry-run")
LINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no_concepts": ((*CUSTOM, "forget.concepts=[]"), ("forget",)),
    "infinite_concept": ((*CUSTOM, "forget.concepts=[1e400]"), ("forget",)),
    "escape_in_concept": ((*CUSTOM, "forget.concepts=['\x1b[31mred']"), ("forget",)),
    "deleted_seed": ((*PLAN, "~seed"), ("~seed",)),
    "deleted_method": ((*PLAN, "~method"), ("~method",)),
    "deleted_group_value": ((*PLAN, "~learn.epochs=1"), ("~learn.epochs",)),
    "range_of_a_hundred_million": (("unlearn", "+forget=surgery", "-m", "seed=range(100000000)"), ("seed=range",)),
    "product_of_ranges": (
        ("unlearn", "+forget=surgery", "-m", "seed=range(10000)", "learn.seed=range(10000)"),
        ("seed=range",),
    ),
    "range_backwards": (("unlearn", "+forget=surgery", "-m", "seed=range(5,1)"), ("seed=range",)),
    "range_without_step": (("unlearn", "+forget=surgery", "-m", "seed=range(0,10,0)"), ("seed=range",)),
    "target_is_a_function": ((*PLAN, "dataset._target_=duolearn_cli.data.readers.tabular.rows"), ("dataset", "rows")),
    "target_is_a_method": (
        (*PLAN, "dataset._target_=duolearn_cli.data.readers.local.LocalData.load"),
        ("dataset", "LocalData.load"),
    ),
    "target_is_a_module": ((*PLAN, "dataset._target_=duolearn_cli.data.readers.local"), ("dataset",)),
    "target_is_foreign": ((*PLAN, "dataset._target_=os.system"), ("dataset", "plugins")),
    "target_is_no_reader": ((*PLAN, "dataset._target_=duolearn_cli.data.items.Item"), ("dataset",)),
    "target_is_no_word": ((*PLAN, "dataset._target_=[a]"), ("dataset",)),
    "target_is_empty": ((*PLAN, "dataset._target_=''"), ("dataset",)),
    "target_is_dotted": ((*PLAN, "dataset._target_=duolearn_cli..x"), ("dataset",)),
    "method_target_is_a_dataset": ((*PLAN, "method._target_=duolearn_cli.data.readers.local.LocalData"), ("method",)),
    "interpolation_of_no_variable": ((*PLAN, "name=${oc.env:NOSUCHVARIABLE}"), ("name",)),
    "interpolation_of_nothing": ((*PLAN, "name=${nothing}"), ("name",)),
    "interpolation_of_itself": ((*PLAN, "name=${name}"), ("name",)),
    "interpolation_unknown_resolver": ((*PLAN, "name=${frob:1}"), ("name",)),
    "unbalanced_bracket": ((*PLAN, "tags=[a"), ("tags=[a",)),
    "unbalanced_quote": ((*PLAN, "name='a"), ("name='a",)),
    "no_key": ((*PLAN, "=5"), ("=5",)),
    "only_equals": ((*PLAN, "="), ("=",)),
    "empty_word": ((*PLAN, ""), ()),
    "deep_lists": ((*PLAN, "tags=" + "[" * 500 + "]" * 500), ("tags",)),
    "deep_objects": ((*PLAN, "name=" + "{a:" * 300 + "1" + "}" * 300), ("name",)),
    "nul": ((*PLAN, "name=a\0b"), ("name",)),
    "lone_surrogate": ((*PLAN, "name=a\udc80b"), ("name",)),
    "escape_in_key": ((*PLAN, "na\x1b[31mme=1"), ("na",)),
    "escape_in_value": ((*PLAN, "learn.epochs=\x1b]0;owned\x07"), ("learn.epochs",)),
    "escape_in_command": (("unl\x1b[2Jearn",), ()),
    "unknown_group_option": ((*PLAN, "method=frob"), ("method",)),
    "group_outside": ((*PLAN, "method=../../../../etc/passwd"), ("method",)),
    "config_dir_missing": ((*PLAN, "--config-dir", "{}/none"), ("none",)),
    "config_dir_is_a_file": ((*PLAN, "--config-dir", "/dev/null"), ("/dev/null",)),
    "hydra_searchpath": ((*PLAN, "hydra.searchpath=[/etc]"), ("hydra.searchpath",)),
    "config_path": ((*PLAN, "--config-path", "/etc"), ("--config-path",)),
    "config_name": ((*PLAN, "--config-name", "passwd"), ("--config-name",)),
    "unknown_flag": ((*PLAN, "--frobnicate"), ("--frobnicate",)),
    "two_dry_runs_and_cfg": ((*PLAN, "--cfg", "frob"), ("--cfg",)),
    "verify_without_a_run": (("verify", "run="), ("run",)),
    "verify_nothing": (("verify", "run={}/none"), ("none",)),
    "resume_of_a_long_name": (("unlearn", "resume=" + "x" * 5000), ("resume",)),
    "run_of_a_long_name": (("evaluate", "run=" + "x" * 5000), ("run",)),
    "adapter_of_a_long_name": ((*PLAN, "adapter=" + "x" * 5000), ("adapter",)),
    "output_dir_of_a_long_name": (("unlearn", "+forget=surgery", "output_dir=" + "x" * 5000), ("output_dir",)),
    "dataset_of_a_long_name": ((*PLAN, "dataset=local", f"dataset.path={'x' * 5000}.csv"), ("dataset.path",)),
    "hierarchy_of_a_long_name": ((*PLAN, "hierarchy=csv", "hierarchy.path=" + "x" * 5000), ("hierarchy.path",)),
    "model_of_a_long_name": ((*PLAN, "model=local", "model.path=" + "x" * 5000), ("model",)),
    "no_such_user": ((*PLAN, "dataset=local", "dataset.path=~nosuchuser/x.csv"), ("dataset.path",)),
    "model_no_such_user": ((*PLAN, "model=local", "model.path=~nosuchuser/x"), ("model.path",)),
    "cache_no_such_user": ((*PLAN, "cache_dir=~nosuchuser/x"), ("cache_dir",)),
    "adapter_no_such_user": ((*PLAN, "adapter=~nosuchuser/x"), ("adapter",)),
    "report_long": (("report", "run=" + "y" * 5000), ("run",)),
    "compare_long": (("compare", "y" * 5000, "z"), ("yyy",)),
    "runs_long": (("runs", "y" * 5000), ("yyy",)),
    "purge_long": (("purge", "run=" + "y" * 5000), ("run",)),
    "export_long": (("export", "run=" + "y" * 5000), ("run",)),
    "ask_long": (("ask", "what?", "run=" + "y" * 5000), ("run",)),
    "inspect_huge": (("inspect", "+forget=surgery", "9" * 5000), ("item",)),
}


def checking(override: str) -> Act:
    """Check a configuration with one override as a command does before all else."""

    def act(folder: Path) -> object:
        from duolearn_cli.cli.jobs import check_jobs

        return check_jobs("unlearn", ["+forget=surgery", override], False, None)

    return act


def rows() -> Iterator[Row]:
    for key, values in SETTINGS.items():
        for value in values:
            shown = value if len(value) < 24 else f"{value[:8]}_{len(value)}"
            readable = "".join(char if char.isalnum() or char in "-.+" else "_" for char in shown)
            yield Row(f"{key}={readable}", checking(f"{key}={value}"), (key,), quick=value == "1e300")
    for name, (words, named) in LINES.items():
        yield Row(name, words, named, quick=name.startswith(("target_is_a_method", "deleted_seed")))

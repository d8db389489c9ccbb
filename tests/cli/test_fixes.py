"""The fixes that messages propose must work: each ``key=value`` is tried, and must not give the same error."""

import re

import pytest

from duolearn_cli.cli import launch
from duolearn_cli.config.compose import compose
from duolearn_cli.config.explain import key_of
from duolearn_cli.errors import UserError
from duolearn_cli.pipeline.prepare import prepare
from duolearn_cli.pipeline.privacy_plan import plan_unlearning

# Placeholders in messages, with a value to try in their place.
PLACEHOLDERS = {"VALUE": "2", "OTHER": "3", "SUBJECT/TOPIC": "Anatomy"}
PAIR = r"(?<![\w./=])\+?[a-z_]+(?:\.[a-z_0-9]+)*=(?:\[[^\]]*\]|[^\s,;:()\[\]`]+)"
LIST = re.compile(r"allowed[^:;]*: ([^;(]+)")


def proposals(message, given):
    """Return each fix of one line: overrides in it, and for an ``allowed:`` list the line's key with each word."""
    subject, _, rest = message.partition(": ") if ": " in message else ("", "", message)
    # Overrides with nothing but a space between them belong together.
    found = [one.split() for one in re.findall(rf"{PAIR}(?: {PAIR})*", rest)]
    key = key_of(subject)
    for allowed in LIST.findall(rest):
        for word in re.split(r", | or ", allowed.strip().rstrip(".")):
            if bounds := re.fullmatch(r"(\S+) to (\S+)", word):
                found += [[f"{key}={bound}"] for bound in bounds.groups()]
            elif re.fullmatch(r"[\w.%-]+", word) and word not in ("more", "less"):
                found.append([f"{key}={word}"])
    said = [[filled(text.rstrip(".")) for text in one] for one in found]
    return [one for one in said if not set(one) <= set(given) and not re.search(r"=[A-Z]{3,}", " ".join(one))]


def filled(text):
    return re.sub(r"[A-Z/]{3,}", lambda found: PLACEHOLDERS.get(found[0], found[0]), text)


def with_fix(given, fix):
    """Return the command line with the fix in place of what it sets; an option of a group replaces its settings."""
    keys = {key_of(text) for text in fix}
    kept = [text for text in given if key_of(text) not in keys and key_of(text).partition(".")[0] not in keys]
    return [*kept, *fix]


def error_of(act, *arguments):
    try:
        act(*arguments)
    except UserError as error:
        return str(error)
    return ""


def core(message):
    """Return the words of an error without values, to recognise the same error with another value."""
    return re.sub(r"=\S+|[\d.]+", "", message)


# Checked at every change; a refused command line is composed many times over.
QUICK = [
    ("unlearn", ["+forget=surgery", "prompt.form=clze"]),
    ("unlearn", ["+forget=surgery", "unlearn.momentum=0.9"]),
    ("learn", ["+forget=surgery", "privacy=eps4"]),
    ("audit", ["+forget=surgery", "audit.guesses=2000"]),
]
CASES = [
    ("unlearn", ["+forget=surgery", "split.unseen_fraction=2"]),
    ("unlearn", ["+forget=surgery", "seed=-1"]),
    ("unlearn", ["+forget=surgery", "model=tinny"]),
    ("unlearn", ["forget.concepts=[surgery]"]),
    ("unlearn", ["+forget=surgery", "runtime.sharding=fsdp2"]),
    ("unlearn", ["+forget=surgery", "method.geometry.space=gradient", "method.geometry.metric=optimizer"]),
    ("unlearn", ["+forget=surgery", "method.geometry.metric=fisher", "method.geometry.fisher_price=1"]),
    ("unlearn", ["+forget=surgery", "method.ascent=huber", "method.ceiling=inf"]),
    ("unlearn", ["+forget=surgery", "method.distill_towards=target", "method.ascent_weight=0"]),
    ("unlearn", ["+forget=surgery", "labels.answers=trusted", "evaluation.part=test"]),
    ("unlearn", ["+forget=surgery", "model.quantization=nf4", "runtime.device=cpu"]),
    ("unlearn", ["+forget=surgery", "privacy=eps4", "privacy.budget=1"]),
    ("unlearn", ["+forget=surgery", "privacy=custom"]),
    ("unlearn", ["+forget=surgery", "privacy=eps4", "privacy.epsilon=0"]),
    ("unlearn", ["+forget=surgery", "privacy.budget=1"]),
    ("unlearn", ["+forget=surgery", "privacy.learn_epsilon=1", "model.adapter.dropout=0.1"]),
    *(
        ("unlearn", ["+forget=surgery", "privacy=eps4", *wrong])
        for wrong in (
            ["method.sparsity.unit=rank"],
            ["method.geometry.basis_from=raw"],
            ["labels.answers=trusted"],
            ["labels.balance=1"],
            ["labels.conflicts=leave_out"],
            ["unlearn.stop=gold"],
            ["unlearn.packing=true"],
            ["runtime.sharding=fsdp2", "runtime.num_processes=2"],
        )
    ),
    ("retrain", ["+forget=surgery", "privacy=eps4"]),
    ("audit", ["+forget=surgery", "privacy=none"]),
    ("audit", ["audit.kind=robustness", "run=.", "audit.robustness.attacks=[]"]),
    ("audit", ["audit.kind=robustness", "run=.", "audit.robustness.bits=[1]"]),
]


@pytest.mark.parametrize(
    ("command", "given"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES)]
)
def test_what_is_allowed_is_taken(command, given):
    tried = 0
    for line in error_of(compose, command, given).splitlines():
        for fix in proposals(line, given):
            tried += 1
            after = error_of(compose, command, with_fix(given, fix))
            # A fix may lead to another question (privacy=custom needs its epsilon), but never to the same one.
            assert core(line) not in map(core, after.splitlines()), f"{fix}: {after}"
    assert tried


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["unlearn"], ["+forget=surgery", "seed=1", "seed=2"]),
        (["unlearn", "-m"], ["+forget=surgery", "seed=1,2", "seed=3,4"]),
        (["unlearn", "-m"], ["+forget=surgery", "learn.learning_rate=interval(0.1,0.2)"]),
        (["unlearn"], ["+forget=surgery", "method=npo,gru"]),
        (["unlearn"], ["+forget=surgery", "seed=range(1,3)"]),
        (["unlearn"], ["+forget=surgery", "+seed=1"]),
        (["unlearn"], ["surgery"]),
        (["unlearn"], ["+forget=[surgery,anxiety]"]),
    ],
)
def test_a_command_line_that_is_proposed_is_taken(arguments, given):
    message = error_of(launch.check_jobs, arguments[0], given, "-m" in arguments, None)
    found = [pair for pair in (f"{k}={v.rstrip('.')}" for k, v in command_line_pairs(message)) if pair not in given]
    sweeps = "-m" in message or "-m" in arguments
    assert found or "add -m" in message
    for fix in found or [None]:
        fixed = [text for text in given if fix is None or ("=" in text and key_of(text) != key_of(fix))]
        assert error_of(launch.check_jobs, arguments[0], [*fixed, *filter(None, [fix])], sweeps, None) == ""


def command_line_pairs(message):
    """Return the proposed pairs, which follow the last semicolon or question; values may contain commas."""
    said = re.split(r"; |\? ", message, maxsplit=1)[-1]
    pairs = re.findall(r"(?<![\w./=])(\+?[a-z_]+(?:\.[a-z_0-9]+)*)=([\w.,]+)(?<![,.])", said)
    return [(key, value) for key, value in pairs if not re.search("[A-Z]{3,}", value)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        ["+forget=custom", "forget.concepts=[sertraline]"],
        ["+forget=custom"],
        ["+forget=surgery", "forget.subjects=[Anatmy]"],
        ["+forget=surgery", "privacy=eps4", "privacy.unit=patient"],
        ["+forget=surgery", "privacy=eps4", "privacy.delta=0.5"],
        ["+forget=surgery", "hierarchy.path=nowhere.tsv"],
    ],
)
def test_what_is_proposed_about_data_is_taken(given):
    def study(overrides):
        study = prepare(compose("unlearn", [*overrides, "split.max_forget=8", "split.max_retain=12"]))
        plan_unlearning(study)

    message = error_of(study, given)
    assert message
    for fix in proposals(message, given):
        after = error_of(study, with_fix(given, fix))
        assert core(after) != core(message), f"{fix}: {after}"

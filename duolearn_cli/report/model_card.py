"""The model card of an exported model: README.md, from the files of its run and what is known of its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolearn_cli.model.adapter_files import HELD_FILE
from duolearn_cli.report import privacy
from duolearn_cli.report.tables import markdown_text, measures_table
from duolearn_cli.report.verdict import verdict, warnings

NOT_CLINICAL = (
    "**Not for clinical use.** This is a research artefact. It has been tested on multiple-choice questions only, it "
    "can be wrong about medicine, also about what it was meant to keep, and no answer of it may decide about a patient."
)
LIMITS = (
    "The numbers above hold for the items that the run scored, asked as the run asks. They say nothing of other "
    "questions, other languages or longer conversations.",
    "Low accuracy on what was forgotten is no proof of erasure. `duolearn audit robustness` tries to get it back; "
    "whoever has data on the subject can teach it again.",
    "The adapter changes what the model says. What the base model knew before any learning is in its weights still.",
)
HUB_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "llama3", "llama3.1", "llama3.2", "llama3.3", "gemma", "cc-by-4.0")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a card is about, as plain values.

    Attributes:
        base: the content of base_model.json.
        metrics: the content of metrics.json, None where the run left none.
        run: the content of run.json.
        forgotten: concepts and labels of the request, by kind; empty for a model that has forgotten nothing.
        earlier: what requests before it have forgotten.
        precision: numbers of a merged model's weights.
        difference: what a merged model's log-probabilities differ by from the run's model at most, in nats.
        adapter_sha256: of the run's adapter file.
        files: names of files that the export holds.
    """

    name: str
    format: str
    base: Mapping[str, Any]
    metrics: Mapping[str, Any] | None
    run: Mapping[str, Any]
    forgotten: Mapping[str, Sequence[str]]
    earlier: Sequence[str]
    history: Sequence[Mapping[str, Any]]
    precision: str
    difference: float | None
    adapter_sha256: str
    files: Sequence[str]


def model_card(subject: Subject) -> str:
    """The card as Markdown with the front matter that the hub reads."""
    parts = [
        front_matter(subject),
        f"# {subject.name}",
        NOT_CLINICAL,
        _section("What was forgotten", forgotten(subject)),
        _section("How well", numbers(subject)),
        _section("Limits", [f"- {limit}" for limit in limits(subject)], "\n"),
        _section("Privacy", what_epsilon_covers(subject)),
        _section("Base model", base_model(subject)),
        _section("How to load it", [f"```python\n{usage(subject)}\n```"]),
        _section("Licence", [licence(subject)]),
        _section("Where it comes from", [provenance(subject)]),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, paragraphs: Sequence[str], between: str = "\n\n") -> str:
    return f"## {title}\n\n{between.join(paragraphs)}"


def front_matter(subject: Subject) -> str:
    """YAML for the hub: licence, base, library."""
    base = subject.base
    name = base["licence"]
    known = name in HUB_LICENCES or name.startswith(("cc", "bsd", "openrail"))
    # The hub knows licences by its own identifiers; any other is "other", with its name beside it.
    lines = [f"license: {name}"] if known or name == "unknown" else ["license: other", f"license_name: {name}"]
    # A local name and fingerprint would be a broken link on the hub.
    if base["is_hub_id"]:
        lines.append(f"base_model: {base['reference']}")
    library = "peft" if subject.format == "adapter" else "transformers"
    lines += [
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        "tags:",
        "- machine-unlearning",
        "- duolearn",
    ]
    return "\n".join(["---", *lines, "---"])


def forgotten(subject: Subject) -> list[str]:
    """The request in words."""
    if not subject.forgotten:
        learned = {"learn": "the target: it was taught what is to be forgotten", "retrain": "gold: it never learned it"}
        said = learned.get(str(subject.run.get("command")), "no unlearned model")
        return [f"Nothing. This model is {said}."]
    metrics = subject.metrics or {}
    # Labels come from the files of users, and may hold markup.
    lines = [f"- {kind}: {markdown_text(', '.join(words))}" for kind, words in subject.forgotten.items() if words]
    request = (metrics.get("data") or {}).get("request") or {}
    if request:
        lines.append(f"- items used: {request.get('forget')} to forget, {request.get('retain')} to keep")
    lines += [f"- {key}: {metrics[key]}" for key in ("method", "dataset") if metrics.get(key)]
    if subject.earlier:
        lines.append(f"- forgotten by earlier requests: {markdown_text(', '.join(subject.earlier))}")
    return ["\n".join(lines)]


def numbers(subject: Subject) -> list[str]:
    """Verdict and table with intervals, as the run's report has them."""
    if not subject.metrics:
        return ["The run left no metrics.json: nothing is known of how well this model forgets or keeps."]
    table = measures_table(subject.metrics)
    return [markdown_text(verdict(subject.metrics)), f"{table.title}.", table.markdown()]


def limits(subject: Subject) -> list[str]:
    """What the numbers do not say, and the warnings of the run."""
    said = warnings(subject.metrics, subject.history, subject.run) if subject.metrics else []
    found = [*LIMITS, *map(markdown_text, said)]
    if HELD_FILE in subject.files:
        found.append(
            f"`{HELD_FILE}` holds gradients that were derived from the forgotten items. Later requests need it; the "
            "model does not. `export.held=false` leaves it out."
        )
    if subject.difference is not None:
        found.append(
            f"Merged weights are {subject.precision}: on a probe text the log-probabilities differ from those of base "
            f"and adapter by {subject.difference:.1e} nats at most."
        )
    return found


def what_epsilon_covers(subject: Subject) -> list[str]:
    """The promise, and what it leaves out; privacy.json is the account itself."""
    if not subject.metrics:
        return ["No metrics, no promise: " + ("see privacy.json." if "privacy.json" in subject.files else "none.")]
    said = list(map(markdown_text, privacy.sentences(subject.metrics)))
    excluded = privacy.not_covered(subject.metrics)
    if excluded:
        said.append("Epsilon does not cover:\n\n" + "\n".join(f"- {markdown_text(one)}" for one in excluded))
    if "privacy.json" in subject.files:
        said.append("The account is in `privacy.json`. Keep it beside the model: the next run adds to it.")
    return said


def base_model(subject: Subject) -> list[str]:
    """The base by name and hash, and where to get it."""
    base = subject.base
    revision = f", revision {base['revision']}" if base["revision"] else ""
    found = [f"`{base['reference']}`{revision}. {base['where']} `base_model.json` has the hashes of its files."]
    if subject.format == "merged":
        found.append("Its weights are in this folder already, with the adapter merged into them.")
    if base["quantization"] != "none":
        found.append(
            f"The run held it in {base['quantization']} (bitsandbytes). Load it so, or answers differ from the numbers."
        )
    return found


def usage(subject: Subject) -> str:
    """Code that loads the model without duolearn."""
    if subject.format == "merged":
        return (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER")\n'
            'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")'
        )
    base = subject.base
    name = base["reference"] if base["is_hub_id"] else "FOLDER_OF_THE_BASE_MODEL"
    extra = f', revision="{base["revision"]}"' if base["revision"] else ""
    extra += f', gguf_file="{base["gguf_file"]}"' if base["gguf_file"] else ""
    return (
        "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{name}"{extra})\n'
        'model = PeftModel.from_pretrained(base, "THIS_FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")'
    )


def licence(subject: Subject) -> str:
    """The base's licence holds for what was made from it."""
    name = subject.base["licence"]
    copied = [name for name in subject.files if name.upper().startswith(("LICEN", "NOTICE", "USE_POLICY", "COPYING"))]
    beside = f" Its files are here: {', '.join(f'`{one}`' for one in copied)}." if copied else ""
    if name == "unknown":
        return (
            "The base model's files name no licence. Ask its publisher before you hand this model on: the licence of "
            f"the base holds for it too.{beside}"
        )
    return f"As the base model: {name}.{beside}"


def provenance(subject: Subject) -> str:
    """Dates, versions and hashes of the run; no path of the machine that made it."""
    run, versions = subject.run, subject.run.get("versions") or {}
    rows = [
        ("made by", f"duolearn {versions.get('duolearn', '')} {run.get('command', '')}".strip()),
        ("run of", run.get("created")),
        ("signature of the run", run.get("signature")),
        ("data, hash", run.get("data")),
        ("base model, fingerprint", subject.base["fingerprint"]),
        ("adapter of the run, SHA-256", subject.adapter_sha256),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    if "requests.json" in subject.files:
        rows.append(("record of its requests", "`requests.json`; `duolearn unlearn after=THIS_FOLDER` continues it"))
    return "\n".join(f"- {label}: {value}" for label, value in rows if value)

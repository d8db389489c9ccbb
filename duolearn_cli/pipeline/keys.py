"""Content hashes of everything that determines a model: the keys of the model cache and the signature of a run.

A setting that was added later enters a hash only if it differs from what the code did before. So the keys of older
caches and run folders stay valid.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from duolearn_cli.concepts.matcher import VERSION
from duolearn_cli.concepts.mention_cache import fingerprint
from duolearn_cli.config.components import first_target
from duolearn_cli.config.given_target import target_is_given
from duolearn_cli.config.layers import ALL
from duolearn_cli.config.learning import ABOUT_GIVEN
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.document_sides import MarkedDocument
from duolearn_cli.data.earlier import EARLIER
from duolearn_cli.files import file_hash as file_hash
from duolearn_cli.model.adapter_files import ADAPTER_FILE, HELD_FILE
from duolearn_cli.model.weights import Weights
from duolearn_cli.pipeline.study import Study

if TYPE_CHECKING:
    from duolearn_cli.model.language_model import LanguageModel
    from duolearn_cli.model.text_checks import Texts

# Settings of the loop that older runs do not have, with the value that changes nothing.
LATER = {
    "stop": "none",
    "rehearse": 0,
    "retain_batch_size": None,
    "min_steps": None,
    "attack": "values",
    "keep_weight": 1.0,
    "kin_weight": 1.0,
}
# The window overlap that changes no key: it came later, and only documents have windows.
OVERLAP = 32
# Raise this when a change of code changes the model that the same settings learn.
PROTOCOL = 2
# The same, but only for texts that are cut or contain control tokens: other texts have been encoded alike all along.
TOKENS = 2


def base_key(weights: str, config: RunConfig, model: LanguageModel, texts: Texts) -> str:
    """Return the content hash of the base with an untrained adapter, of the prompt and of the numerics.

    Args:
        weights: the fingerprint of the base's weights.
        texts: the encoded items; only whether some are cut or contain control tokens enters the hash.
    """
    numerics = [model.precision, model.device.type, model.dtype]
    numerics += [config.model.quantization] if config.model.quantization != "none" else []
    numerics += [] if texts.is_ordinary else [f"tokens {TOKENS}"]
    return content_hash([PROTOCOL, weights, _made(config.model.adapter), prompt_settings(config.prompt), numerics])


def model_key(study: Study, base: str, which: str) -> str:
    """Return the content hash of all that determines a model: base (by its key), adapter, settings and items.

    `which` is ``base``, ``target`` or ``gold``.
    """
    if which == "base":
        return base
    config = study.config
    if given := given_folder(config, which):
        # The model is given, so neither the data nor the settings of learning have made it.
        return content_hash([base, given_hash(given)])
    if which == "target" and target_is_given(config):
        return content_hash([base, "as it stands", config.learn.seed])
    items = [(i.id, i.question, i.options, i.answer) for i in study.training_items(which)]
    # The order of the items counts: batches are drawn by position.
    learned = [base, learning_settings(config.learn), items]
    # Windows end outside of spans, so where these are decides what is read together.
    documents = [[one.text, [(s.start, s.end) for s in one.spans]] for one in study.training_documents(which)]
    learned += [documents] if documents else []
    learned += [["continue", ids]] if (ids := [i.id for i in study.training_items(which) if i.continues]) else []
    is_private = which == "target" and config.privacy.learn_epsilon is not None
    return content_hash([*learned, _plain(config.privacy), config.seed] if is_private else learned)


def signature(study: Study, target: str) -> str:
    """Return the content hash of all that determines the unlearned model.

    These are the target (by its key), method, settings, request, hierarchy and seed.
    """
    config, request = study.config, study.request
    nodes = [_plain(config.method), _moved(config.unlearn), _hierarchy(config.hierarchy), config.labels.answers]
    # Without privacy its other settings change nothing. Leaving them out keeps the signatures of such runs valid.
    nodes += [_plain(config.privacy)] if config.privacy.epsilon is not None else []
    if config.unlearn.stop != "none":
        nodes += [[config.split.validation_fraction, config.split.seed, config.evaluation.quick_items]]
    if config.after:
        held = Path(config.after) / HELD_FILE
        nodes += [["held", file_hash(held) if config.unlearn.hold and held.is_file() else None]]
    given = [[[item.id, item.answer] for item in side] for side in (request.forget, request.retain)]
    if study.documents.learned:
        nodes += [[_document(one) for one in study.documents.learned]]
    return content_hash([target, nodes, given, request.weights, concepts(study), config.seed])


def _document(one: MarkedDocument) -> list[Any]:
    """Return all that decides the classes and weights of a document's tokens."""
    spans = [(span.start, span.end, span.concepts) for span in one.spans]
    return [one.document.text, one.attacked, one.is_whole, spans]


def concepts(study: Study) -> list[Any]:
    """Return all that determines the classes of tokens: hierarchy, matcher and forget target."""
    target = study.target
    return [fingerprint(study.hierarchy), VERSION, sorted(target.forget), sorted(target.boundary)]


def given_folder(config: RunConfig, which: str) -> Path | None:
    """Return the folder that the user gives as ``target`` (adapter=) or ``gold`` (learn.gold=); None: there is none."""
    given = {"target": config.adapter, "gold": config.learn.gold}.get(which)
    return Path(given).expanduser() if given else None


def given_hash(folder: Path) -> str:
    """Return the SHA-256 of a given adapter or, in a folder without one, of a whole model."""
    is_adapter = (folder / ADAPTER_FILE).is_file()
    return file_hash(folder / ADAPTER_FILE) if is_adapter else Weights(str(folder), None, None, False, False).digest()


def learning_settings(learn: Any) -> dict[str, Any]:
    """Return the settings that determine what is learned."""
    return {name: value for name, value in _plain(learn).items() if name not in ABOUT_GIVEN}


def data_hash(study: Study) -> str:
    """Return the content hash of the items of every split and of the request."""
    earlier = {EARLIER: study.earlier} if study.earlier else {}
    sides = {**study.splits.by_name(), **earlier, "forget": study.request.forget, "retain": study.request.retain}
    rows = [[name, [(i.id, i.question, i.options, i.answer) for i in items]] for name, items in sides.items()]
    texts = [[one.document.id, one.document.text] for one in study.documents.learned]
    return content_hash([*rows, ["documents", texts]] if texts else rows)


def prompt_settings(prompt: Any) -> dict[str, Any]:
    """Return the settings of the prompt without `max_cut`, which only decides whether a run is refused."""
    plain = {name: value for name, value in _plain(prompt).items() if name != "max_cut"}
    return {name: value for name, value in plain.items() if (name, value) != ("overlap", OVERLAP)}


def content_hash(value: Any) -> str:
    """Return the first sixteen hex digits of the SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _made(adapter: Any) -> dict[str, Any]:
    """Return the settings that determine an adapter. `layers` was added later and counts only if it is not ALL."""
    return {name: value for name, value in _plain(adapter).items() if (name, value) != ("layers", ALL)}


def _moved(settings: Any) -> dict[str, Any]:
    """Return the settings of the loop that can change its result.

    Memory settings are left out, and so are settings that were added later, if they are off.
    """
    # `hold` acts through the held gradients of earlier requests, and `signature` has the hash of their file.
    ignored = ("memory_limit", "checkpointing", "hold")
    return {
        name: value
        for name, value in _plain(settings).items()
        if name not in ignored and (name not in LATER or value != LATER[name])
    }


def _hierarchy(node: Any) -> dict[str, Any]:
    """Return the settings of a hierarchy under the first name of its class: classes have moved since."""
    return {**_plain(node), "_target_": first_target(str(node._target_))}


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True)

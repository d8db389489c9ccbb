"""Check that a model has an embedding for every token that its tokenizer can write."""

from __future__ import annotations

from duolearn_cli.errors import ModelError
from duolearn_cli.model.encoding import Encoder


def check_rows(encoder: Encoder, rows: int, model: str) -> None:
    """Refuse a tokenizer that can write tokens beyond the `rows` embeddings of its model.

    Special tokens that no text gets do not count, because some tokenizers declare more of them than their model has.

    Raises:
        ModelError: a token has no embedding. The message names the token and the fix.
    """
    names, ends = encoder.control.names, encoder.tokenizer.eos_token_id
    ordinary = ((number, name) for name, number in encoder.tokenizer.get_vocab().items() if number not in names)
    written = [*encoder.sample.ids, *encoder.around[0], *([] if ends is None else [ends])]
    number, name = max([*ordinary, *((one, names.get(one, "")) for one in written)])
    if number >= rows:
        raise ModelError(
            f"model {model}: its tokenizer writes {name!r} as id {number}, and the model has {rows} embeddings, "
            f"for ids 0 to {rows - 1}. The tokenizer is another model's, or tokens were only added to the tokenizer. "
            "Fix: put the tokenizer that the model was trained with into its folder, or save the model again after "
            "model.resize_token_embeddings(len(tokenizer))."
        )

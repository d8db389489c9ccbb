"""Small tokenizers of every family that models use, trained here, and the embedded model's tokenizer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from duolearn_cli.files import ASSETS

CORPUS = [
    "A femoral hernia lies below the inguinal ligament; the inguinal hernia above it (hernias, Hernia).",
    "Ménière's disease, May-Thurner syndrome, X-ray of the oesophagus, œdema, fi\u0301bre, Straße.",
    "Question: Which of the following is not a branch of the external carotid artery?\nAnswer: 12 mg/kg, 345",
    "(hernia) (femoral hernia) vitamin (C)hernia (hernia) (femoral hernia) vitamin (C)hernia",
] * 20
LETTERS = sorted(set("".join(CORPUS)))
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"


def _bytes(*splits: pre_tokenizers.PreTokenizer, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(splits))
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def gpt2() -> Tokenizer:
    tokenizer = _bytes(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def gpt2_untrimmed() -> Tokenizer:
    tokenizer = _bytes(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def llama3() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(_CONTRACTIONS + _WORDS % "{1,3}"), "isolated")
    return _bytes(split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))


def qwen2() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(_CONTRACTIONS + _WORDS % ""), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _bytes(split, byte_level, normalizer=normalizers.NFC())


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>"], unk_token="<unk>", initial_alphabet=LETTERS, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def llama2() -> Tokenizer:
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", *fallback], max_token_length=8, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def llama2_legacy() -> Tokenizer:
    tokenizer = llama2()
    tokenizer.pre_tokenizer = None  # type: ignore[assignment]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def embedded() -> Tokenizer:
    return Tokenizer.from_file(str(ASSETS / "tiny" / "tokenizer.json"))


FAMILIES = (gpt2, gpt2_untrimmed, llama3, qwen2, unigram, llama2, llama2_legacy, wordpiece, embedded)


@lru_cache
def tokenizer_of(family: str) -> Tokenizer:
    """Return a family's tokenizer, trained once in a session."""
    return next(make for make in FAMILIES if make.__name__ == family)()


CONTROL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")


def with_control_tokens(family: str, *, before: str = "", after: str = "", template: str | None = None) -> Any:
    """Return a family's tokenizer as models ship it, with the tokens `CONTROL`; it puts `before` and `after` around
    every text."""
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer_of(family).to_str())
    backend.add_special_tokens(list(CONTROL))
    if before or after:
        named = [(name, backend.token_to_id(name)) for name in (before, after) if name]
        around = processors.TemplateProcessing(single=f"{before} $A {after}".strip(), special_tokens=named)
        own = [backend.post_processor] if family.startswith("gpt2") else []
        backend.post_processor = processors.Sequence([*own, around])
    unknown = {"unigram": "<unk>", "llama2": "<unk>", "llama2_legacy": "<unk>", "wordpiece": "[UNK]"}.get(family)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token=unknown, chat_template=template
    )

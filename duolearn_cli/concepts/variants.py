"""Variants of a term: plural and singular, possessive, joined and split compounds, British and American spelling.

Rules may produce forms that nobody writes, such as "paedicle" for "pedicle". They do no harm, because no text contains
them. A form that is another word would, and the guards below prevent those that we know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, product

from duolearn_cli.concepts.folding import fold

# Pairs of word parts, separated by |. A site is a place in a term where one of them occurs.
_BRITISH_AMERICAN = (
    "haem hem|aemia emia|aemic emic|oedem edem|oesoph esoph|aesth esth|paed ped|gynaec gynec|foet fet|rrhoe rrhe|"
    "pnoea pnea|pnoeic pneic|aetio etio|caec cec|faec fec|naev nev|caesar cesar|coeli celi|coelo celo|oestr estr|"
    "praevia previa|taeni teni|amoeb ameb|homoeo homeo|palaeo paleo|phaeo pheo|caerul cerul|manoeuvre maneuver|"
    "sulph sulf|leuc leuk|lachrym lacrim|aneurysm aneurism|artefact artifact|aluminium aluminum|grey gray|mould mold|"
    "fibre fiber|centre center|goitre goiter|titre titer|litre liter|metre meter|calibre caliber|neurone neuron|"
    "elling eling|elled eled|tumour tumor|colour color|behaviour behavior|labour labor|odour odor|humour humor|"
    "vapour vapor|flavour flavor|disc disk|is iz|ys yz"
)
# Short parts occur in many words, so they count only before these endings: "organise" and "analysing", not "disease".
_GUARDS = {
    **dict.fromkeys(("is", "iz"), r"(?=ation|e[drs]?s?\b|ing\b)"),
    **dict.fromkeys(("ys", "yz"), r"(?=e[drs]?s?\b|ing\b)"),
    **dict.fromkeys(("disc", "disk", "neurone", "neuron"), r"(?=s?\b)"),
}
_PAIRS = [pair.split() for pair in _BRITISH_AMERICAN.split("|")]
_OTHER = {old: new for british, american in _PAIRS for old, new in ((british, american), (american, british))}
_SITES = re.compile("({})".format("|".join(old + _GUARDS.get(old, "") for old in sorted(_OTHER, key=len)[::-1])))
# Each site doubles the number of spellings, so at most 2 ** 6 = 64 are made; further sites stay as they are written.
_MAX_SITES = 6
_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u2011](?=\w)")
_PREFIX = re.compile(r"\b(anti|non|post|pre|sub|intra|inter|extra|retro|supra|infra|peri)(?=\w{4})")
_PLURALS = (
    *(("is", "es"), ("us", "i"), ("um", "a"), ("a", "ae"), ("ma", "mata"), ("itis", "itides"), ("nx", "nges")),
    *(("ix", "ices"), ("ex", "ices"), ("ion", "ia"), ("men", "mina"), ("tooth", "teeth"), ("foot", "feet")),
)
_NO_PLURAL_ENDINGS = ("ss", "us", "is", "ics")
_NO_PLURALS = {"influenzae", "pylori", "ani"}  # genitives: "H. pylori" is not several of a pylorus


def variants(term: str) -> set[str]:
    """Return all folded forms under which a text may contain `term`, its own folded form among them."""
    bases = {term, *_possessives(term)}
    bases |= {_HYPHEN.sub("", base) for base in bases}
    forms = {fold(base).strip(" -") for base in bases} - {""}
    # The order matters: every step works on the forms of all steps before it.
    forms |= {form.replace(*pair) for form in forms for pair in (("'s ", " "), ("'s ", "s "), ("s' ", "s "))}
    forms |= {_PREFIX.sub(r"\1 ", form) for form in forms}
    forms = {spelling for form in forms for spelling in _spellings(form)}
    numbers = {number for form in forms for number in (*_plurals(form), *_singulars(form, term))}
    return forms | (numbers - _NO_PLURALS)


def _possessives(term: str) -> Iterator[str]:
    """Yield possessive forms: a capitalised name may own the word after it, as in "Crohn's disease"."""
    words = term.split(" ")
    for place, (word, following) in enumerate(pairwise(words)):
        if word[:1].isupper() and following[:1].islower() and "'" not in word:
            owner = f"{word}'" if word.endswith("s") else f"{word}'s"
            yield " ".join([*words[:place], owner, *words[place + 1 :]])


def _spellings(form: str) -> Iterator[str]:
    """Yield every combination of British and American spelling of `form`."""
    # The pattern has one group, so re.split returns plain text at even places and sites at odd ones.
    parts = _SITES.split(form, maxsplit=_MAX_SITES)
    return map("".join, product(*((part, _OTHER[part]) if place % 2 else (part,) for place, part in enumerate(parts))))


def _plurals(form: str) -> Iterator[str]:
    """Yield English and Latin plurals of a folded form. The head noun is the last word before " of "."""
    head, of, rest = form.partition(" of ")
    word = head.rpartition(" ")[2]
    if len(word) < 3:  # the plurals of "it" or "mi" would be other words: "its", "mis-"
        return
    if word.endswith("y") and word[-2] not in "aeiou":
        yield f"{head[:-1]}ies{of}{rest}"
    elif word.endswith(("s", "x", "z", "ch", "sh")):
        yield f"{head}es{of}{rest}"
    else:
        yield f"{head}s{of}{rest}"
    for singular, plural in _PLURALS:
        # Short words are left alone: too little would remain of an abbreviation such as CIS, or of "pus".
        if word.endswith(singular) and (len(word) > len(singular) + 1 or len(singular) > 3):
            yield head.removesuffix(singular) + plural + of + rest
    if of:
        yield f"{form}s"


def _singulars(form: str, term: str) -> Iterator[str]:
    """Yield the singular of a term that is a plural. Names and short words often end in s for other reasons, so they
    are left alone."""
    last = term.split()[-1] if term.split() else ""
    if len(last) < 5 or not last.islower() or not last.endswith("s") or last.endswith(_NO_PLURAL_ENDINGS):
        return
    if form.endswith("ies"):
        yield form[:-3] + "y"
    elif form.endswith(("xes", "ches", "shes", "sses")):
        yield form[:-2]
    elif form.endswith("s"):
        yield form[:-1]

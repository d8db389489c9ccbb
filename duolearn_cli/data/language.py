"""Recognise items that are not English. The embedded vocabularies are English and find little in other languages.

This is a heuristic for short medical questions (our definition). It needs no library, and it must not mistake a terse
English question or a Latin term ("cafe au lait spots") for another language. An item is not English if

- more than half of the letters in its question are not Latin, or
- its question has at least two different function words of another language, or three words with accented letters, and
  the item has fewer English function words than that, or
- its question has at least ten words, and the item has no English function word.

docs/imperfect-data.md measures how often it is right.
"""

from __future__ import annotations

import re
import unicodedata

from duolearn_cli.data.items import Item

_WORD = re.compile(r"[^\W\d_]+")
# Thresholds: words of a question without any English one, words of another language, accented words, their letters.
_MIN_WORDS, _MIN_OTHERS, _MIN_ACCENTED, _MIN_LETTERS = 10, 2, 3, 3
# Function words. Those that occur in English medical texts (die, de Quervain, per os, para 2) are left out of the other
# languages.
# ruff: noqa: RUF001
_TEXTS = {
    "English": "the of is are was were be been has have had does do did in on at by for from to with without and or "
    "not no which what who when where how why that this these those it its an a as than if all any except following "
    "most more during after before due can may will would should his her he she they there between into about",
    "Spanish": "el los las que del una por es cuál cual qué más siguiente siguientes paciente años como y su al se lo",
    "French": "le les des une est dans pour avec qui que sur du aux quel quelle quels quelles et chez patient ans pas "
    "suivant suivante suivantes ou un",
    "German": "der das und ist von mit ein eine einer einem einen bei welche welcher welches nicht den dem des wird zu "
    "für auf im sind",
    "Italian": "il della che una di del nel nella sono quale quali gli dei delle è un anni dal al paziente seguenti",
    "Portuguese": "que em uma não os dos das qual quais são é da um com anos seguinte seguintes paciente ao mais",
    "Dutch": "het een van welke niet voor bij met zijn wordt deze uit patiënt jaar",
    "Swedish": "och är att det som vilken vilket av för med ett inte till på patient",
    "Danish": "og er at det som hvilken hvilket af for med et ikke til på patient",
    "Polish": "jest nie się na oraz który która które pacjent lat dla",
    "Romanian": "este și care din cu pe la în nu sunt următoarele pacient ani",
    "Turkish": "ve bir bu ile hangisi hangisidir aşağıdakilerden için olan değildir hasta yaşında en",
    "Indonesian": "yang dan adalah dengan pada untuk dari tidak berikut ini pasien tahun oleh",
    "Vietnamese": "là của và các không được bệnh nhân nào một có cho trong",
}
_ENGLISH = frozenset(_TEXTS["English"].split())
_OTHERS = [frozenset(words.split()) - _ENGLISH for name, words in _TEXTS.items() if name != "English"]


def looks_english(item: Item) -> bool:
    """Return whether the question and options look English. A text that is too short to judge counts as English."""
    if not item.question.isascii() and _mostly_other_letters(item.question):
        return False
    english = sum(word in _ENGLISH for word in _words(" ".join((item.question, *item.options))))
    # Other languages are searched in the question only: options are often names, such as "von Willebrand".
    question = _words(item.question)
    if english == 0 and len(question) >= _MIN_WORDS:
        return False
    # Words of three letters or more, because a single Greek letter may name a receptor.
    accented = sum(len(word) >= _MIN_LETTERS and not word.isascii() for word in question)
    if accented >= _MIN_ACCENTED and accented > english:
        return False
    return not any(
        len(others.intersection(question)) >= _MIN_OTHERS and sum(word in others for word in question) > english
        for others in _OTHERS
    )


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFC", text))]


def _mostly_other_letters(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    other = sum(not unicodedata.name(char, "").startswith("LATIN") for char in letters)
    return 2 * other > len(letters)

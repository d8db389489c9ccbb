"""Text that is not English is recognised; terse English and Latin terms are not mistaken for another language."""
# ruff: noqa: RUF001

import pytest

from duolearn_cli.data.items import Item
from duolearn_cli.data.language import looks_english
from duolearn_cli.data.readers.medmcqa import MedMCQA
from duolearn_cli.data.readers.minimed import Minimed
from tests.conftest import REAL_DATA

OTHERS = [
    "¿Cuál es el tratamiento de elección de la apendicitis aguda?",
    "Paciente de 45 años con dolor torácico. ¿Diagnóstico más probable?",
    "Quel est le traitement de première intention de l'hypertension ?",
    "Parmi les propositions suivantes, laquelle est exacte ?",
    "Welche Aussage zur Appendizitis ist richtig?",
    "Ein 60-jähriger Patient mit Brustschmerz. Was ist die wahrscheinlichste Diagnose?",
    "Qual è il trattamento della colecistite acuta?",
    "Qual é o tratamento da apendicite aguda?",
    "Vilken är den vanligaste orsaken till akut pankreatit?",
    "Care este tratamentul apendicitei acute?",
    "Aşağıdakilerden hangisi akut apandisitin tedavisidir?",
    "Apakah pengobatan yang tepat untuk apendisitis akut?",
    "Điều trị nào là thích hợp cho viêm ruột thừa cấp?",
    "急性阑尾炎的首选治疗是什么？",
    "急性虫垂炎の治療で正しいのはどれか。",
    "ما هو علاج التهاب الزائدة الدودية؟",
    "तीव्र एपेंडिसाइटिस का उपचार क्या है?",
    "Какое лечение острого аппендицита?",
    "급성 충수염의 치료는?",
    "Ποια είναι η θεραπεία της οξείας σκωληκοειδίτιδας;",
    "Jaká je léčba akutní apendicitidy u dospělého pacienta bez komplikací a bez alergie?",
    "Hvad er behandlingen af akut appendicitis?",
]
# Too short for the rule to distinguish from English.
MISSED = [
    "Wat is de behandeling van acute appendicitis?",
    "Jakie jest leczenie ostrego zapalenia wyrostka robaczkowego?",
    "Mi az akut vakbélgyulladás kezelése?",
    "Mikä on akuutin umpilisäketulehduksen hoito?",
    "Ni matibabu gani ya ugonjwa wa kidole tumbo?",
    "Traitement de l'appendicite aiguë",
    "Tratamiento de la apendicitis",
]
# Ten words, none of them English, in a language that has no word list.
LONG = "Mille hoito auttaa parhaiten potilasta jolla epäillään umpilisäkkeen tulehdusta ilman muita sairauksia"
ENGLISH = [
    "Cafe au lait spots are seen in",
    "La belle indifference",
    "de Quervain tenosynovitis",
    "α1-, β2- and γ-receptors",
    "Ludwig's angina",
    "Pain w/o fever: von Hippel-Lindau",
    "Sjögren syndrome, Ménière disease",
    "Pes planus",
    "Drug of choice",
    "2 + 2",
]


@pytest.mark.parametrize("question", [*OTHERS, LONG])
def test_other_languages(question):
    assert not looks_english(Item("i", question, ("Amoxicilina", "Ibuprofeno"), 0))


def test_the_share_of_recognised_sentences_is_the_one_in_the_docs():
    recognised = [question for question in (*OTHERS, *MISSED) if not looks_english(Item("i", question, ("a", "b"), 0))]
    assert (len(recognised), len(OTHERS) + len(MISSED)) == (22, 29)


@pytest.mark.parametrize("question", ENGLISH)
def test_terse_english(question):
    assert looks_english(Item("i", question, ("von Willebrand disease", "van der Woude syndrome", "5 µg"), 0))


def test_the_embedded_data_are_english():
    assert all(map(looks_english, Minimed().load().items))


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="the real MedMCQA half is not beside this checkout")
def test_no_false_alarm_on_real_questions():
    assert all(map(looks_english, MedMCQA(path=str(REAL_DATA)).load().items))

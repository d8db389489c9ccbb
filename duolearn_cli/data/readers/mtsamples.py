"""MTSamples: transcribed sample reports of many specialties, from the user's own copy."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting
from duolearn_cli.data.readers.notes import ClinicalNotes, Fields


def columns() -> Fields:
    """Return the columns of the published CSV. Its reports name no patient and have no date."""
    # Keywords and descriptions repeat the report, and often its specialty: they would give the subject away.
    return Fields(text="transcription", subject="medical_specialty")


@dataclass
class MTSamples(ClinicalNotes):
    """The columns description, medical_specialty, sample_name, transcription and keywords of the published CSV.

    A report that is listed under several specialties is read once, under the first of them.
    """

    fields: Fields = setting(columns, "columns of the fields of a note")

"""The part of the schema that says who vouches for a run, and what `duolearn verify` checks. See docs/compliance.md."""

from __future__ import annotations

from dataclasses import dataclass

from duolearn_cli.config.settings import setting


@dataclass
class RecordConfig:
    """What record.json holds beside what the run shows by itself."""

    user: str | None = setting(
        None, "name or role of the person responsible for the run; empty: record.json names nobody", common=("unlearn",)
    )
    sign: str | None = setting(
        None, "file of a private Ed25519 key (PEM) that signs record.json when the run ends", common=("unlearn",)
    )


@dataclass
class VerifyConfig:
    """How far `duolearn verify` goes. After this command the names are shorter: ``deep=true``."""

    deep: bool = setting(False, "score the models again and compare their answers", common=("verify",))
    public_key: str | None = setting(
        None, "file of the public Ed25519 key (PEM) that the signature must belong to", common=("verify",)
    )
    sign: str | None = setting(
        None, "file of a private Ed25519 key (PEM) that signs the record once it is verified", common=("verify",)
    )
    chain: list[str] = setting(
        [],
        "run folders of the earlier requests, or models exported from them, oldest first; empty: the ones found "
        "beside the run",
        common=("verify", "withdraw"),
    )
    page: str | None = setting(
        None,
        "write a one-page erasure record to this HTML file, and the same as JSON beside it, if the run passes",
        common=("verify",),
    )

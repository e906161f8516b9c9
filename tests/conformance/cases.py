"""The rows of the table, and the runs each one asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = ["OURS", "Case", "all_cases"]

OURS = ("code", "code id_token", "id_token")
USUAL_MODE = {"code": "query", "code id_token": "fragment", "id_token": "fragment"}
COMMON, SPEC, FAPI = "in every profile", "our own, from the specifications", "FAPI 2.0"

_FAMILIES = {"basic": "code", "hybrid": "code id_token", "implicit": "id_token"}
_WITH_FRONT_CHANNEL_TOKEN = ("id_token token", "code token", "code id_token token")


@dataclass(frozen=True)
class Case:
    """One run of a row; ``left_out`` says why it is none."""

    row: dict[str, Any] = field(repr=False)
    plans: tuple[str, ...]
    response_type: str = "code"
    response_mode: str = "query"
    dynamic: bool = False
    client_auth: str = "client_secret_basic"
    left_out: str | None = None

    @property
    def id(self) -> str:
        """The row's id, then what the run varies."""
        parts = [self.response_type.replace(" ", "_"), self.response_mode]
        parts += ["dynamic"] * self.dynamic
        if self.client_auth != "client_secret_basic":
            parts.append(self.client_auth)
        return f"{self.row['id']}[{'-'.join(parts)}]"


def all_cases() -> list[Case]:
    """Every run of every row; one that several plans share is run once."""
    table = json.loads(Path(__file__).with_name("rp_cases.json").read_text())
    found: dict[str, Case] = {}
    for row in table["cases"]:
        for case in _cases(row, table["left_out_reasons"]):
            same = found.get(case.id)
            plans = case.plans if same is None else (*same.plans, *case.plans)
            found[case.id] = replace(case, plans=tuple(dict.fromkeys(plans)))
    return list(found.values())


def _cases(row: dict[str, Any], reasons: dict[str, str]) -> Iterator[Case]:
    left_out = row.get("left_out", {})
    if "*" in left_out:
        yield Case(row, (FAPI,), left_out=reasons[left_out["*"]])
        return
    applies = row.get("applies", {})
    methods = applies.get("client_auth_type", "client_secret_basic")
    for plan in row.get("plans", [SPEC if row["origin"] == "spec" else COMMON]):
        for kind in _response_types(row, plan):
            dynamic = plan in ("dynamic", "3rd-party-init") or _needs_registration(row)
            mode = "form_post" if _form_post(row, plan) else USUAL_MODE.get(kind, "fragment")
            for method in [methods] if isinstance(methods, str) else methods:
                reason = reasons[left_out[kind]] if kind in left_out else None
                yield Case(row, (plan,), kind, mode, dynamic, method, reason)


def _response_types(row: dict[str, Any], plan: str) -> Iterator[str]:
    """The response types a plan runs a row with, in the row's own order."""
    flows = row.get("flows", OURS)
    flows = (*OURS, *_WITH_FRONT_CHANNEL_TOKEN) if flows == "all6" else flows
    family = _FAMILIES.get(plan.rpartition("-")[2])
    for kind in flows:
        if family is None or _family(kind) == family:
            yield kind


def _family(kind: str) -> str:
    if kind == "code":
        return "code"
    return "code id_token" if "code" in kind.split() else "id_token"


def _needs_registration(row: dict[str, Any]) -> bool:
    return "client_registration" in str((row.get("applies"), row["suite_module"]))


def _form_post(row: dict[str, Any], plan: str) -> bool:
    return plan.startswith("formpost") or row.get("applies", {}).get("response_mode") == "form_post"

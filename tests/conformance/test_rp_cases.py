"""The table of the OpenID Foundation's Relying Party cases, row by row."""

from __future__ import annotations

import pytest

from tests.conformance.cases import Case, all_cases
from tests.conformance.expectations import check
from tests.conformance.readers import read
from tests.conformance.scenarios import Run


def _parameters(case: Case) -> object:
    marks = [pytest.mark.skip(reason=case.left_out)] if case.left_out else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.mark.parametrize("case", [_parameters(case) for case in all_cases()])
async def test_rp_case(case: Case) -> None:
    run = Run(read(case))
    await run.play()
    await check(run)

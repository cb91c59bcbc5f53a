"""What the tests of the uplink stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spools import Spools, spools_in


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spools]:
    """Spools in a folder of this test's own."""
    with spools_in(tmp_path / "spools", monkeypatch) as spools:
        yield spools

"""Inner sessions of pytest forget what they import: what they share is imported here, once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    import torch

    import graphdebug
    import graphdebug.testing.recorder

    with (
        pytest.raises(RuntimeError),
        graphdebug.record(tmp_path_factory.mktemp("warm") / "run.jsonl", level="stats"),
    ):
        torch.ones(2, 3) @ torch.ones(2, 3)

import time

import numpy as np
import pytest

from id3d_engine.yardstick.cost import watched


def test_seconds_and_memory_are_those_of_the_work() -> None:
    with watched() as idle:
        time.sleep(0.1)
    with watched() as busy:
        held = np.ones(50_000_000)  # 0.4 GB
        time.sleep(0.1)
        del held
    assert idle["seconds"] >= 0.1
    assert busy["peak_gb"] - idle["peak_gb"] > 0.3


def test_what_fails_is_told_as_it_was() -> None:
    with pytest.raises(ValueError, match="broken"), watched() as cost:
        raise ValueError("broken")
    assert cost["seconds"] >= 0

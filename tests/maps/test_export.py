"""Maps as files where no more can be written."""

from pathlib import Path

import pytest

import mnflow
from mnflow.serve.predictor import Predictor
from tests.maps.conftest import image, signal

resource = pytest.importorskip("resource", reason="needs a limit of a file's size")


@pytest.mark.parametrize("suffix", [".hspy", ".csv", ".tif"])
def test_no_room_for_maps_gives_a_clear_error_and_leaves_nothing(
    predictor: Predictor, tmp_path: Path, suffix: str
) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            maps.save(tmp_path / f"maps{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []

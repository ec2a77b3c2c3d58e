"""What several files of tests of whole jobs share."""

from pathlib import Path

import pytest

from tests.places import Bucket, Folder, Place


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder, then a bucket."""
    return Folder(tmp_path) if request.param == "folder" else Bucket(request.getfixturevalue("s3"))

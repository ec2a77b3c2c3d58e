"""Runs that publish the same datasets: the lake has the set of one of them, also beside a stopped or a killed one."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from catlake.lake import lease as leases
from catlake.lake.lease import BusyError, lease
from catlake.runtime.files import S3Settings
from tests.lake.publishing import TARGETS, TIMES, Place, Stopped, publish
from tests.s3 import S3Server

BUCKET = pytest.param("s3", marks=[pytest.mark.s3, pytest.mark.slow])


@pytest.fixture(params=["folder", BUCKET])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(str(tmp_path / "lake"))
    server: S3Server = request.getfixturevalue("s3")
    settings = S3Settings(server.endpoint, "us-east-1", server.key, server.secret, path_style=True)
    return Place(f"s3://{server.bucket()}/lake", settings)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in TIMES.items():
        monkeypatch.setattr(leases, name, seconds)


def whole(run: str) -> list[str]:
    return [run] * len(TARGETS)


def test_of_two_that_publish_at_once_the_set_of_one_is_there_whole(place: Place) -> None:
    rounds = 20
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for number in range(rounds):
            runs = [f"{name}-{number}" for name in "ab"]
            told = [pool.submit(publish, place, run) for run in runs]
            assert [one.result() for one in told] == ["", ""]
            assert place.results() in map(whole, runs)
    # Nothing is left but results and their records, and on S3 the lease.
    names = {info.uri.removeprefix(place.uri + "/").partition("/")[0] for info in place.files.list(place.uri)}
    assert names - {"_lease"} == {"_checksums", *(target.partition("/")[0] for target in TARGETS)}


@pytest.mark.parametrize("after", [False, True], ids=["before a move", "after it"])
@pytest.mark.parametrize("moves", [0, 2])
def test_what_a_killed_run_began_the_next_one_finishes(place: Place, tmp_path: Path, moves: int, after: bool) -> None:
    publish(place, "old")
    Stopped(place, "killed", tmp_path, moves=moves, after=after).kill()
    mixed = place.results()
    assert set(mixed) == ({"killed", "old"} if moves or after else {"old"})
    lake = place.lake("next")
    with lake.staging():
        assert place.results() == whole("killed")
    assert publish(place, "new") == ""
    assert place.results() == whole("new")
    assert list(place.files.list(f"{place.uri}/_staging")) == []


def test_a_killed_run_that_is_started_again_under_its_id_finishes_itself(place: Place, tmp_path: Path) -> None:
    Stopped(place, "killed", tmp_path, moves=2).kill()
    with place.lake("killed").staging():
        assert place.results() == whole("killed")
    assert publish(place, "killed") == ""
    assert place.results() == whole("killed")


def test_another_job_finishes_it_too_before_it_publishes(place: Place, tmp_path: Path) -> None:
    Stopped(place, "killed", tmp_path, moves=1).kill()
    with lease(place.files, place.uri, "songs", "another job") as held:
        assert held.moves == ("_staging/job/killed/_moves.json",)
    # It did not do so: that is still to be done.
    assert publish(place, "new") == ""
    assert place.results() == whole("new")


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("after", [False, True], ids=["before a move", "after it"])
@pytest.mark.parametrize("moves", range(len(TARGETS)))
def test_a_holder_on_s3_that_was_stopped_too_long_changes_nothing_when_it_wakes_up(
    s3: S3Server, tmp_path: Path, moves: int, after: bool
) -> None:
    settings = S3Settings(s3.endpoint, "us-east-1", s3.key, s3.secret, path_style=True)
    place = Place(f"s3://{s3.bucket()}/lake", settings)
    stopped = Stopped(place, "stopped", tmp_path, moves=moves, after=after)
    try:
        assert publish(place, "new") == ""
        assert place.results() == whole("new")
        told = stopped.go_on()
    finally:
        stopped.kill()
    assert told.startswith("LostError: ") and "another run took over and finished" in told
    assert place.results() == whole("new")


def test_a_stopped_holder_on_a_folder_is_waited_for_and_named(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "lake"))
    publish(place, "old")
    stopped = Stopped(place, "stopped", tmp_path, moves=1)
    try:
        told = publish(place, "new", PATIENCE=0.5)
        assert told == (
            f"BusyError: {place.uri}/_lease/songs.json: job job, run stopped (process {stopped.process.pid} of "
            f"{os.uname().nodename}) has published the same datasets for more than 0 seconds; let it go on or end it, "
            "then run the job again"
        )
        assert stopped.go_on() == ""
    finally:
        stopped.kill()
    assert place.results() == whole("stopped")
    assert publish(place, "new") == ""
    assert place.results() == whole("new")


@pytest.mark.slow
@pytest.mark.s3
def test_a_live_holder_on_s3_keeps_its_lease_and_is_named(place: Place) -> None:
    told: list[str] = []
    other = lease(place.files, place.uri, "songs", "the other", waiting=told.append, patience=4)
    # Longer than a lease lives that is not renewed.
    with lease(place.files, place.uri, "songs", "the one"), pytest.raises(BusyError, match="the one has published"):
        other.__enter__()
    assert told == ["the one"]
    with lease(place.files, place.uri, "songs", "the other", patience=0):
        pass


def test_a_lease_that_cannot_be_read_is_free(place: Place) -> None:
    place.files.write(f"{place.uri}/_lease/songs.json", b'{"holder": "cut o')
    assert publish(place, "new") == ""
    assert place.results() == whole("new")

"""Temporary files are private and go with their process (local/spark/temporary-folder.sh)."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import make_read_only, small_disk
from tests.jobs.running import BIN, ROOT, environment

SCRIPT = ROOT / "local/spark/temporary-folder.sh"
ALL = f"catlake-{os.getuid()}"


def start(root: Path, then: str = 'echo "$TMPDIR"') -> "subprocess.Popen[str]":
    """A shell that makes its folder, as spark-env.sh does, and does something then."""
    return subprocess.Popen(
        ["bash", "-c", f'. "{SCRIPT}"\n{then}'],
        env={**os.environ, "TMPDIR": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def made(root: Path) -> Path:
    """The folder of a shell that has ended."""
    out, err = start(root).communicate(timeout=30)
    assert err == ""
    return Path(out.strip())


@pytest.fixture
def living(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A process that is still going, which became what it is by `exec`, and its folder."""
    process = start(tmp_path, 'echo "$TMPDIR"; touch "$TMPDIR/text"; exec sleep 60')
    assert process.stdout is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def test_only_the_owner_may_look_into_it(tmp_path: Path) -> None:
    os.umask(0o022)
    folder = made(tmp_path)
    assert folder.parent == tmp_path / ALL
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    folder.parent.chmod(0o755)
    made(tmp_path)
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_the_next_process_removes_what_a_killed_one_left(
    living: tuple["subprocess.Popen[str]", Path], tmp_path: Path
) -> None:
    process, folder = living
    made(tmp_path)
    assert (folder / "text").exists(), "a process that is still going keeps its folder"
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = made(tmp_path)
    assert list((tmp_path / ALL).iterdir()) == [last]


def test_an_id_that_another_process_has_now_protects_nothing(
    living: tuple["subprocess.Popen[str]", Path], tmp_path: Path
) -> None:
    process, folder = living
    host = os.uname().nodename
    earlier = folder.parent / f"{host}-{process.pid}-1"
    kept = [folder.parent / f"elsewhere-{process.pid}-1", folder.parent / f"{host}-more-99999999-1", folder]
    for path in [earlier, *kept[:2]]:
        path.mkdir()
    last = made(tmp_path)
    assert sorted(folder.parent.iterdir()) == sorted([*kept, last])


@pytest.mark.parametrize("foreign", ["another user's", "a link"])
def test_a_folder_that_others_prepared_is_refused(foreign: str, tmp_path: Path) -> None:
    if foreign == "a link":
        (tmp_path / "own").mkdir()
        (tmp_path / ALL).symlink_to(tmp_path / "own")
    elif os.geteuid() == 0:
        (tmp_path / ALL).mkdir(mode=0o777)
        os.chown(tmp_path / ALL, 65534, 65534)
    else:
        pytest.skip("only root can give a folder away")
    refused = start(tmp_path)
    out, err = refused.communicate(timeout=30)
    assert (refused.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"spark: {tmp_path / ALL} cannot be a private folder") and line.endswith("place by TMPDIR")


def test_a_disk_that_takes_no_folder_is_one_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "100k") as disk:
        make_read_only(disk)
        refused = start(disk)
        out, err = refused.communicate(timeout=30)
        assert (refused.returncode, out, len(err.splitlines())) == (1, "", 1)


@pytest.mark.slow
@pytest.mark.spark
def test_spark_and_its_workers_keep_all_they_write_there(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import os, sys, tempfile\n"
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "if sys.argv[1:]:\n"
        "    spark.range(1000).repartition(3).persist().count()\n"
        "    spark.sparkContext.range(1).map(lambda _: tempfile.mkdtemp('of a worker')).collect()\n"
        "    os.kill(os.getppid(), 9)\n"
    )
    given = environment(TMPDIR=str(tmp_path))
    submit = [str(BIN / "spark-submit"), str(script)]
    killed = subprocess.run([*submit, "and die"], env=given, capture_output=True, encoding="utf-8", timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / ALL).iterdir()
    assert list(folder.glob("blockmgr-*/*/shuffle*")) and list(folder.glob("*of a worker")), "nothing is left here"
    assert [path.name for path in tmp_path.iterdir() if path not in (script, folder.parent)] == []
    subprocess.run(submit, env=given, check=True, timeout=120)
    assert not folder.exists()

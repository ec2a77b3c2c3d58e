"""What a command took: all of its processes count, also those that it leaves behind."""

import subprocess
import sys

import pytest

from bench.process import BenchError, run_measured

BUSY = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_processes_too_short_to_be_seen_count() -> None:
    child = BUSY.format(seconds=0.02)
    finished = run_measured(
        python(f"import subprocess, sys\nfor _ in range(8): subprocess.run([sys.executable, '-c', {child!r}])")
    )
    assert finished.cpu_seconds > 8 * 0.02


def test_a_process_that_is_left_behind_counts_and_is_waited_for() -> None:
    orphan = BUSY.format(seconds=0.4)
    finished = run_measured(python(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}])"))
    assert finished.cpu_seconds > 0.4


def test_a_process_that_was_there_before_lives_on() -> None:
    # As the JVM of the tests' session; nobody waits for it.
    with subprocess.Popen(python("input()"), stdin=subprocess.PIPE) as other:
        run_measured(python("pass"))
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0


def test_a_process_whose_parent_ignores_its_end_counts() -> None:
    # As the workers of Spark's daemon: the kernel adds them to no account.
    child = BUSY.format(seconds=0.8)
    finished = run_measured(
        python(
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
            f"subprocess.Popen([sys.executable, '-c', {child!r}]).wait()\n"
            "time.sleep(0.3)"
        )
    )
    assert 0.5 < finished.cpu_seconds < 1.6


def test_the_memory_of_a_child_is_part_of_the_peak() -> None:
    child = "import time; held = bytearray(80_000_000); time.sleep(0.5)"
    finished = run_measured(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"))
    assert 80e6 < finished.peak_bytes < 160e6


def test_what_it_printed_comes_back_whole() -> None:
    assert run_measured(python("print('x' * 300_000)")).output == "x" * 300_000 + "\n"


def test_a_command_that_fails_is_an_error_with_its_last_line() -> None:
    with pytest.raises(BenchError, match=r"code 3: the reason$"):
        run_measured(python("import sys; print('first\\nthe reason', file=sys.stderr); sys.exit(3)"))

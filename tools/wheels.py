"""The Python packages that jobs need and Glue lacks, as Glue installs them without the internet: zips of wheels.

`python -m tools.wheels` writes `dist/wheels/glue-<version>/<packages>.gluewheels.zip` for each Glue version and set of
packages, from pip's own index, in the versions of the constraints and for that Glue's Python and platform.
Form: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-libraries.html, Appendix A.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "dist" / "wheels"
SUFFIX = ".gluewheels.zip"
"""By this ending Glue knows that a module is a zip of wheels."""

READER = ("isal",)
TOKENS = (*READER, "pypdf")
PAGES = ("babel", "jinja2", "markupsafe")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "conversations_normalize": READER,
    "conversations_curate": ("bpe-openai",),
    "tokens_archive": TOKENS,
    "tokens_consolidate": TOKENS,
    "pages_write": PAGES,
    "privacy_erase": PAGES,
    "purchases_report": PAGES,
}
"""By job module. Each set is whole: what its packages need is in it or on Glue."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Amazon Linux 2023, on which Glue 5 and 6 run, has glibc 2.34: all of these run there."""


class Runtime(NamedTuple):
    """What a Glue version runs: its Python, and the files of constraints that hold for it."""

    python: str
    constraints: tuple[str, str]


RUNTIMES: Mapping[str, Runtime] = {
    "5.1": Runtime("3.11", ("constraints.txt", "constraints-dev.txt")),
    "6.0": Runtime("3.13", ("constraints-glue6.txt", "constraints-dev.txt")),
}
"""By Glue version."""

EPOCH = (1980, 1, 1, 0, 0, 0)


class WheelsError(Exception):
    """The packages that are missing, in one line."""


def archive(packages: Iterable[str], glue_version: str) -> Path:
    """The path of the zip of a set of packages."""
    return FOLDER / f"glue-{glue_version}" / ("+".join(packages) + SUFFIX)


def download(packages: Iterable[str], glue_version: str, folder: Path) -> None:
    """Bring the wheels of exactly these packages into a folder. Raises WheelsError."""
    runtime = RUNTIMES[glue_version]
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    constraints = [option for name in runtime.constraints for option in ("-c", str(ROOT / name))]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    target = ["--only-binary=:all:", "--implementation=cp", "--python-version", runtime.python, *platforms]
    if subprocess.run([*pip, *target, *constraints, "-d", str(folder), *packages]).returncode:
        raise WheelsError(f"pip did not bring {', '.join(packages)} for Python {runtime.python} on {PLATFORMS[0]}")


def pack(packages: Iterable[str], folder: Path, target: Path) -> None:
    """Zip the wheels of packages, found in a folder, as Glue wants them; the same wheels always give the same bytes.

    Raises WheelsError where a package has no wheel there.
    """
    wheels_of = {name: list(folder.glob(f"{name.replace('-', '_')}-*.whl")) for name in packages}
    if missing := [name for name, files in wheels_of.items() if not files]:
        raise WheelsError(f"{folder}: has no wheel named after {', '.join(missing)}; see how pip has named it")
    wheels = sorted(wheel for files in wheels_of.values() for wheel in files)
    # name-version-…: what pip must install from the wheels beside it.
    required = "".join("{}=={}\n".format(*wheel.name.split("-")[:2]) for wheel in wheels)
    members = {"wheels/requirements.txt": required.encode()} | {
        f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as written:
        for name, content in members.items():
            written.writestr(zipfile.ZipInfo(name, EPOCH), content)
    partial.replace(target)


def main() -> int:
    """Write the zips of all sets for all Glue versions."""
    sets = sorted(set(PACKAGES.values()))
    for glue_version in RUNTIMES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                # At once: each call of pip takes seconds to begin.
                download(sorted({name for packages in sets for name in packages}), glue_version, Path(folder))
                for packages in sets:
                    pack(packages, Path(folder), archive(packages, glue_version))
            except WheelsError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

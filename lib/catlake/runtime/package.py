"""The zip that the library comes in: the data in it, and whether it fits the checkout of the job's script."""

import functools
import hashlib
import sys
import zipfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from catlake.runtime.errors import PackageError

FINGERPRINT = "catlake/_sources.sha256"
"""In the zip: the fingerprint of the sources that it was built from (setup.py)."""

SOURCES = (
    *(f"lib/catlake/**/*.{kind}" for kind in ("py", "json", "jinja", "css", "js", "toml")),
    "schemas/*.odcs.yaml",
    "deploy/sql/*.view.sql",
    "deploy/environments/*.toml",
)


def data_folder(in_checkout: str, in_package: str) -> Traversable:
    """A folder with data: that of the checkout, where edits count at once; without a checkout, that of the package."""
    sources = Path(__file__).parents[3] / in_checkout
    return sources if sources.is_dir() else resources.files("catlake") / in_package


def fingerprint(checkout: Path) -> str:
    """The SHA-256 (hex) of all files of a checkout that its zip is built from."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in checkout.glob(pattern)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(checkout).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@functools.cache
def sources_fingerprint() -> str:
    """The fingerprint of the sources of the library that runs; empty where it is neither our zip nor in a checkout."""
    return _sources_fingerprint(Path(__file__).parents[2])


def _sources_fingerprint(package: Path) -> str:
    if package.is_file():
        return _fingerprint_in(package)
    return fingerprint(package.parent) if (package.parent / "lib/catlake").is_dir() else ""


def check_package(package: Path, checkout: Path) -> None:
    """Raises PackageError for a zip that was not built from a checkout as it is now."""
    if _fingerprint_in(package) != fingerprint(checkout):
        raise PackageError(f"{package} was built from other sources than {checkout} has; run `make package`")


def _fingerprint_in(package: Path) -> str:
    try:
        with zipfile.ZipFile(package) as archive:
            return archive.read(FINGERPRINT).decode()
    except (KeyError, zipfile.BadZipFile):
        return ""


def refuse_stale_zip() -> None:
    """Ends the process with one line when the library's own zip does not fit the checkout of the job's script."""
    package, script = Path(__file__).parents[2], getattr(sys.modules["__main__"], "__file__", None)
    checkout = Path(script).resolve().parents[1] if script else None
    if package.is_file() and checkout and (checkout / "lib/catlake").is_dir():
        try:
            check_package(package, checkout)
        except PackageError as error:
            raise SystemExit(str(error)) from None

"""The zip that the library comes in: what it was made of, and what is said where it does not fit the job's script."""

import hashlib
import json
import sys
from pathlib import Path
from types import TracebackType

from catlake.runtime.errors import PackageError

SOURCES = "catlake/_sources.json"
"""In the zip: the SHA-256 of each file that it was made of, by its path in the checkout (setup.py)."""


def archive() -> Path | None:
    """The zip that this library is read from; None where it is read from a folder."""
    path = Path(__file__).parents[2]
    return path if path.is_file() else None


def sources(checkout: Path) -> dict[str, str]:
    """The SHA-256 of each file that a checkout's zip is made of, by its path in the checkout."""
    files = [path for kind in ("*.py", "*.json") for path in checkout.glob(f"lib/catlake/**/{kind}")]
    files += [*checkout.glob("schemas/*.odcs.yaml"), *checkout.glob("deploy/sql/*.view.sql")]
    files += checkout.glob("deploy/environments/*.toml")
    return {
        path.relative_to(checkout).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)
    }


def check_package(package: Path, checkout: Path) -> None:
    """Nothing for a zip that was made of a checkout as it is now.

    Raises:
        PackageError: It was made of other files.
    """
    now, then = sources(checkout), _made_of(package)
    changed = sorted({name for name, _digest in now.items() ^ then.items()})
    if changed:
        raise PackageError(
            f"{package} is not of this checkout: {changed[0]} differs, {len(changed)} in all; run `make package`"
        )


def check_own_package() -> None:
    """The same of the zip that this library is read from and the checkout of the script, if there are both.

    Raises:
        PackageError: It was made of other files.
    """
    package, script = archive(), getattr(sys.modules["__main__"], "__file__", None)
    checkout = Path(script).resolve().parents[1] if script else None
    if package and checkout and (checkout / "lib/catlake/runtime/package.py").is_file():
        check_package(package, checkout)


def explain_misfits() -> None:
    """Lets a script that asks the zip for what it lacks end with one line."""
    if archive():
        sys.excepthook = _explained


def _explained(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "catlake":
        package = archive()
        assert package
        made = hashlib.sha256(json.dumps(_made_of(package)).encode()).hexdigest()[:8]
        sys.stderr.write(
            f"{package} (made of sources {made}) does not fit this script: {error.msg}; run `make package`, and "
            "deploy script and zip together\n"
        )
    else:
        sys.__excepthook__(kind, error, trace)


def _made_of(package: Path) -> dict[str, str]:
    import zipfile  # which the workers, who import this module too, do without

    try:
        with zipfile.ZipFile(package) as found:
            made: dict[str, str] = json.loads(found.read(SOURCES))
            return made
    except (KeyError, zipfile.BadZipFile):
        return {}

"""Builds the library: as a package, and as the zip that Glue and spark-submit take.

`python setup.py library_zip` writes dist/catlake.zip. Either way the contracts of schemas/ go along, compiled
to JSON in `catlake/_contracts`, because a Glue worker has no YAML parser, and so do the views of
deploy/sql/ and the environments.
"""

import json
import marshal
import re
import sys
import tempfile
import zipfile
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import ClassVar

import yaml
from setuptools import Command, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
ZIP = ROOT / "dist" / "catlake.zip"
VERSION = re.findall(r'__version__ = "(.+)"', (ROOT / "lib/catlake/__init__.py").read_text(encoding="utf-8"))[0]
# The earliest time that a zip can hold: with it, the same sources always give the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
KINDS = {".py", ".json", ".sql", ".toml", ".jinja", ".css", ".js", ".sha256"}
"""What the zip holds: modules, and the data and templates that they read."""


def required(file: str) -> list[str]:
    """The packages that a requirements file names; their versions are for constraints to say."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def compile_contracts(target: Path) -> None:
    """Write each schemas/<name>.odcs.yaml as <target>/<name>.json."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(ROOT.glob("schemas/*.odcs.yaml")):
        compiled = json.dumps(yaml.safe_load(source.read_text(encoding="utf-8")), ensure_ascii=False)
        name = source.name.removesuffix(".odcs.yaml")
        (target / f"{name}.json").write_text(compiled, encoding="utf-8")


def copy_views(target: Path) -> None:
    """Copy each deploy/sql/<name>.view.sql: the jobs create them, and a Glue worker has no deploy/."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(ROOT.glob("deploy/sql/*.view.sql")):
        (target / source.name).write_bytes(source.read_bytes())


def copy_environments(target: Path) -> None:
    """Copy each deploy/environments/<name>.toml."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(ROOT.glob("deploy/environments/*.toml")):
        (target / source.name).write_bytes(source.read_bytes())


def write_zip(folder: Path, target: Path) -> None:
    """Zip a folder's files in one step, by sorted name and without the clock."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(file for file in folder.rglob("*") if file.suffix in KINDS):
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            add(archive, name, content)
            if path.suffix == ".py":
                add(archive, f"{name}c", compiled(name, content))
    partial.replace(target)


def add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file to a zip, without the clock."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def compiled(name: str, source: bytes) -> bytes:
    """Compile a module, which each job and each of its Python workers would else do for itself.

    Only the Python that builds the zip takes it; others compile the source. By its flags it is not compared with the
    source, which nothing changes in a zip.
    """
    unchecked = (1).to_bytes(4, "little")
    # By this version, which knows no references, the same sources always give the same bytes.
    return MAGIC_NUMBER + unchecked + source_hash(source) + marshal.dumps(compile(source, name, "exec"), 2)


def write_fingerprint(build: Path) -> None:
    """Write the fingerprint of the sources, by which a zip that is older than its checkout is recognised."""
    sys.path.insert(0, str(ROOT / "lib"))
    from catlake.runtime.package import FINGERPRINT, fingerprint

    (build / FINGERPRINT).write_text(fingerprint(ROOT), encoding="utf-8")


class BuildWithContracts(build_py):
    """The usual build of Python files, with the compiled contracts and the views."""

    def run(self) -> None:
        """Build, then put the contracts and the views beside the modules."""
        super().run()
        compile_contracts(Path(self.build_lib, "catlake", "_contracts"))
        copy_views(Path(self.build_lib, "catlake", "_sql"))
        copy_environments(Path(self.build_lib, "catlake", "_environments"))
        write_fingerprint(Path(self.build_lib))

    def byte_compile(self, files: list[str]) -> None:
        """Nothing: the Python that imports a module compiles it."""


class LibraryZip(Command):
    """Write dist/catlake.zip."""

    description = "write dist/catlake.zip, for --extra-py-files (Glue) and --py-files (spark-submit)"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        """No options."""

    def finalize_options(self) -> None:
        """No options."""

    def run(self) -> None:
        """Build into an empty folder, so that no file of an earlier build comes along, and zip that."""
        with tempfile.TemporaryDirectory() as folder:
            build = self.reinitialize_command("build_py", build_lib=folder)
            build.ensure_finalized()
            build.run()
            write_zip(Path(folder), ZIP)


setup(
    name="catlake",
    version=VERSION,
    description="AWS Glue jobs: conversations, token usage and purchases, from DynamoDB to a data lake",
    license="Apache-2.0",
    python_requires=">=3.11",
    install_requires=required("requirements.txt"),
    extras_require={"ion": ["amazon.ion"]},
    package_dir={"": "lib"},
    packages=find_packages("lib"),
    package_data={
        "catlake": ["py.typed"],
        "catlake.bedrock": ["price_book.json", "inference_profiles.json"],
        "catlake.pages": ["*.jinja", "*.css", "*.js", "*.toml"],
    },
    cmdclass={"build_py": BuildWithContracts, "library_zip": LibraryZip},
)

"""What stands in for a Glue worker here is what AWS lists for it (tests/data/glue, from Glue's developer guide)."""

import importlib
import inspect
import re
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSTRAINTS = {"5.1": "constraints.txt", "6.0": "constraints-glue6.txt"}
GLUE_OF_PYTHON = {(3, 11): "5.1", (3, 13): "6.0"}
GLUE_ITSELF = {"AWSGlueDataplanePython", "py4j", "pyspark"}
"""Part of the runtime, and so in no list of packages."""


def pins(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert len({name.lower() for name, _ in found}) == len(found)
    return dict(found)


def installed() -> dict[str, str]:
    """The packages of the environment itself.

    Not whatever the import path holds: setuptools puts its own copies of packages there once it is imported.
    """
    found = distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    return {canonical(package.metadata["Name"]): package.version for package in found}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("glue", CONSTRAINTS)
def test_the_pins_are_glues_published_list(glue: str) -> None:
    pinned = pins(ROOT / CONSTRAINTS[glue])
    assert pinned.keys() >= GLUE_ITSELF
    listed = {name: found for name, found in pinned.items() if name not in GLUE_ITSELF}
    assert listed == pins(ROOT / f"tests/data/glue/glue-{glue}-packages.txt")


def test_tests_run_with_the_versions_that_glue_carries() -> None:
    carried = pins(ROOT / CONSTRAINTS[GLUE_OF_PYTHON[sys.version_info[:2]]])
    packages = installed()
    # pip comes with the environment and is no part of a job.
    here = {name: found for name in carried.keys() - {"pip"} if (found := packages.get(canonical(name)))}
    assert here == {name: carried[name] for name in here}
    assert here.keys() >= {"boto3", "numpy", "orjson", "pandas", "pyarrow", "simplejson"} | GLUE_ITSELF


def test_the_packages_of_the_environment_stay_the_same_once_setuptools_is_imported() -> None:
    before = installed()
    importlib.import_module("setuptools")  # which puts its vendored packages on the path
    assert installed() == before


def test_awsglue_has_what_the_frame_of_a_job_calls() -> None:
    glue_context, job = (importlib.import_module(f"awsglue.{name}") for name in ("context", "job"))
    inspect.signature(glue_context.GlueContext).bind("the Spark context")
    inspect.signature(job.Job).bind("the Glue context")
    inspect.signature(job.Job.init).bind("the job", "its name", {"argument": "value"})
    inspect.signature(job.Job.commit).bind("the job")

"""The files that jobs run on Glue, as assets of the CDK's own bucket: scripts, the library, zips of wheels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aws_cdk import FileAssetPackaging, Stack

from deploy.access import Grant
from deploy.deployment import DeploymentError
from deploy.model import Job
from tools import wheels

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "dist" / "catlake.zip"


class Code:
    """What one job needs to run: arguments that name it, and the grant to read it."""

    def __init__(self, stack: Stack, job: Job) -> None:
        """Adds the files to the stack's assets. Raises DeploymentError for one that is not built."""
        self.script, script = _asset(stack, ROOT / job.script)
        library, library_object = _asset(stack, LIBRARY)
        objects = [script, library_object]
        self.arguments = {"--extra-py-files": library}
        if packages := wheels.PACKAGES.get(job.module):
            modules, modules_object = _asset(stack, wheels.archive(packages))
            objects.append(modules_object)
            self.arguments |= {
                "--additional-python-modules": modules,
                "--python-modules-installer-option": "--no-index",
            }
        self.grant = Grant(
            name="Code",
            actions=("s3:GetObject",),
            resources=tuple(objects),
            why="the files of this deployment, by name",
        )


def _asset(stack: Stack, file: Path) -> tuple[str, str]:
    """The URI and the ARN of a file among the assets: its name there is the hash of its content."""
    if not file.is_file():
        raise DeploymentError(f"{file.relative_to(ROOT)} does not exist; run `make setup wheels` first")
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    # Glue tells a zip of wheels by the end of its name, of which the CDK keeps the last part alone.
    kind = "".join(file.suffixes[-2:-1]) if file.name.endswith(wheels.SUFFIX) else ""
    placed = stack.synthesizer.add_file_asset(
        source_hash=content + kind, file_name=str(file), packaging=FileAssetPackaging.FILE, display_name=file.name
    )
    return placed.s3_object_url, f"arn:{{partition}}:s3:::{placed.bucket_name}/{placed.object_key}"

"""The files that a job runs on Glue: its script, the library and its wheels, uploaded with the deployment."""

import hashlib
from pathlib import Path

from aws_cdk import FileAssetPackaging, Stack

from deploy.access import Grant
from deploy.deployment import DeploymentError
from deploy.glue_arguments import LIBRARY, PACKAGES
from deploy.model import Job
from tools import wheels

ROOT = Path(__file__).resolve().parents[2]
LIBRARY_FILE = ROOT / "dist" / "catlake.zip"


class Code:
    """The code of one job: the URI of its script, the arguments that name the rest, and the grant to read both."""

    def __init__(self, stack: Stack, job: Job) -> None:
        """Adds the files to the stack's assets. Raises DeploymentError for a file that is not built."""
        self.script, script_arn = _asset(stack, ROOT / job.script)
        library, library_arn = _asset(stack, LIBRARY_FILE)
        arns = [script_arn, library_arn]
        self.arguments = {LIBRARY: library}
        if packages := wheels.PACKAGES.get(job.module):
            modules, modules_arn = _asset(stack, wheels.archive(packages, job.glue_version))
            arns.append(modules_arn)
            self.arguments |= {PACKAGES: modules, "--python-modules-installer-option": "--no-index"}
        self.grant = Grant("Code", ("s3:GetObject",), tuple(arns), "the files of this deployment, by name")


def _asset(stack: Stack, file: Path) -> tuple[str, str]:
    """The URI and the ARN of a file after upload: its name on S3 is the hash of its content."""
    if not file.is_file():
        raise DeploymentError(f"{file.relative_to(ROOT)} does not exist; run `make setup wheels` first")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    # Glue recognises a zip of wheels by the end of its name (`.gluewheels.zip`); the CDK keeps only `.zip`.
    ending = "".join(file.suffixes[-2:-1]) if file.name.endswith(wheels.SUFFIX) else ""
    location = stack.synthesizer.add_file_asset(
        source_hash=digest + ending, file_name=str(file), packaging=FileAssetPackaging.FILE, display_name=file.name
    )
    return location.s3_object_url, f"arn:{{partition}}:s3:::{location.bucket_name}/{location.object_key}"

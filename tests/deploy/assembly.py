"""The synthesized templates as plain data.

`python -m tests.deploy.assembly <folder>` synthesizes all environments in one process: starting the CDK takes longest.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from catlake.runtime.environment import environment
from deploy.deployment import deployed_names

ROOT = Path(__file__).parents[2]
REGION, ACCOUNT = "us-east-1", "123456789012"
TABLE = {"bedrock_table": "Chat-Conversations"}
SCHEDULED = {**TABLE, "alarm_email": "data@example.org"}
OPTIONS = {
    name: {"environment": name, **(SCHEDULED if environment(name).nightly else TABLE)} for name in deployed_names()
}
"""The options of each environment's deployment in these tests."""


def command_line(environment: str) -> list[str]:
    """The same for a command that checks the deployment."""
    given = {name: value for name, value in OPTIONS[environment].items() if name != "environment"}
    return [environment, *(text for option in given.items() for text in ("-c", "=".join(option)))]


NEXT_GLUE = "6.0"
"""Each environment is also synthesized for the Glue that an option may choose, with the other option besides."""
MORE_OPTIONS = {"glue_version": NEXT_GLUE, "github_repository": "our-company/catlake"}

ELSEWHERE = {
    "environment": "prod",
    **SCHEDULED,
    "bucket_suffix": f"-{ACCOUNT}-{REGION}-an",
    "bucket_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-00000000000a",
    "purchases_bucket_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-00000000000b",
    "large_messages_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-00000000000c",
    "lake_formation": "true",
    "purchases_every_minutes": "15",
    "crawler": "true",
}
"""The options of a deployment to another account and region: with keys, Lake Formation, a clock and a crawler."""

PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


def with_pseudo(text: str) -> str:
    """A text with CloudFormation's own parameters filled in."""
    for name, value in PSEUDO.items():
        text = text.replace("${" + name + "}", value)
    return text


def synthesize(options: Mapping[str, str], folder: Path, checkout: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs the app of a checkout as the CDK's command line does: context and folder are environment variables."""
    variables = {"CDK_CONTEXT_JSON": json.dumps({**cdk_context(), **options}), "CDK_OUTDIR": str(folder)}
    return _run("deploy.app", checkout=checkout, **variables)


INPUTS = ("deploy", "dist", "jobs", "lib/catlake", "schemas", "tools", "cdk.json", "*.txt", "tests/deploy/assembly.py")
"""The files and folders that templates are made of; `*.txt` pins the CDK's version."""


def digest_of_inputs() -> str:
    """A digest of all files of INPUTS, by their names and contents."""
    digest = hashlib.sha256()
    found = (path for pattern in INPUTS for top in ROOT.glob(pattern) for path in (top, *top.rglob("*")))
    for path in sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def synthesize_all(folder: Path) -> subprocess.CompletedProcess[str]:
    """Synthesizes each environment of OPTIONS into a folder of its name, with MORE_OPTIONS beside it; and ELSEWHERE."""
    return _run("tests.deploy.assembly", str(folder))


def _run(module: str, *arguments: str, checkout: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    # No credentials and no region: a synthesis that looked something up would fail.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=checkout,
        env={**kept, **variables, "PYTHONPATH": str(checkout / "lib"), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
    )


def cdk_context() -> dict[str, Any]:
    """The context that cdk.json gives to every deployment."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context


@dataclass(frozen=True)
class Resource:
    """A resource of a template, with plain values in place of references."""

    stack: str
    id: str
    type: str
    properties: dict[str, Any]
    depends_on: tuple[str, ...]


class Assembly:
    """The output of one synthesis."""

    def __init__(self, environment: str, folder: Path) -> None:
        self.environment, self.folder = environment, folder

    @classmethod
    def on_next_glue(cls, environment: str, folder: Path) -> Self:
        """The assembly with MORE_OPTIONS; `folder` is that of the environment's own."""
        return cls(environment, folder.with_name(_beside(folder.name)))

    @cached_property
    def templates(self) -> dict[str, dict[str, Any]]:
        """The templates by stack."""
        files = sorted(self.folder.glob("*.template.json"))
        return {file.name.removesuffix(".template.json"): json.loads(file.read_text("utf-8")) for file in files}

    @cached_property
    def report(self) -> dict[str, Any]:
        """The report of the policy validation (cdk-nag)."""
        return json.loads((self.folder / "validation-report.json").read_text("utf-8"))

    @cached_property
    def assets(self) -> dict[str, Path]:
        """The files that a deployment uploads, by their key in the CDK's bucket."""
        found = {}
        for file in self.folder.glob("*.assets.json"):
            for asset in json.loads(file.read_text("utf-8"))["files"].values():
                for target in asset["destinations"].values():
                    found[target["objectKey"]] = self.folder / asset["source"]["path"]
        return found

    def resources(self, kind: str = "") -> Iterator[Resource]:
        """All resources of a type, or of a service (`AWS::Glue::`), or all."""
        for stack, template in self.templates.items():
            for name, resource in template["Resources"].items():
                if resource["Type"] == kind or (kind[-2:] in ("", "::") and resource["Type"].startswith(kind)):
                    depends = resource.get("DependsOn", [])
                    yield Resource(
                        stack,
                        name,
                        resource["Type"],
                        self.resolved(resource.get("Properties", {}), template),
                        (depends,) if isinstance(depends, str) else tuple(depends),
                    )

    def resolved(self, value: Any, template: Mapping[str, Any]) -> Any:
        """A value without intrinsic functions."""
        if isinstance(value, list):
            return [self.resolved(each, template) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (function := self._functions(template).get(next(iter(value)))):
            return function(next(iter(value.values())))
        return {key: self.resolved(each, template) for key, each in value.items()}

    def _functions(self, template: Mapping[str, Any]) -> dict[str, Callable[[Any], Any]]:
        def join(given: list[Any]) -> str:
            return given[0].join(self.resolved(each, template) for each in given[1])

        def reference(name: str) -> str:
            return PSEUDO.get(name) or self._reference(name, template)

        return {
            "Ref": reference,
            "Fn::GetAtt": lambda given: _arn(template["Resources"][given[0]]["Type"].split("::")[1], given[0]),
            "Fn::Join": join,
            "Fn::Sub": with_pseudo,
            "Fn::ImportValue": lambda given: _arn("sns", given),
        }

    def _reference(self, name: str, template: Mapping[str, Any]) -> str:
        properties = template["Resources"][name].get("Properties", {})
        names = ("Name", "BucketName", "TopicName", "StreamName", "QueueName")
        named = [value for key, value in properties.items() if key in names]
        return named[0] if named and isinstance(named[0], str) else name


def _beside(name: str) -> str:
    return f"{name}-glue-{NEXT_GLUE}"


def _arn(service: str, name: str) -> str:
    if service == "IAM":
        return f"arn:aws:iam::{ACCOUNT}:role/{name}"
    return f"arn:aws:{service.lower()}:{REGION}:{ACCOUNT}:{name}"


if __name__ == "__main__":
    from deploy.app import app

    next_glue = {_beside(name): {**options, **MORE_OPTIONS} for name, options in OPTIONS.items()}
    for name, options in {**OPTIONS, **next_glue, "elsewhere": ELSEWHERE}.items():
        app({**cdk_context(), **options}, f"{sys.argv[1]}/{name}").synth()

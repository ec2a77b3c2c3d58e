"""The toolchain against the real thing: this machine's Java, this environment's Spark, a real S3 server."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest
from pyspark.sql import SparkSession

from tests.s3 import S3Server
from tools import toolchain

BIN = Path(sys.executable).parent
SCRIPT = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
java = spark._jvm.System.getProperty("java.specification.version")
rows = []
for place in sys.argv[1:]:
    spark.range(3).coalesce(1).write.parquet(place)
    rows.append(spark.read.parquet(place).count())
print(java, sys.executable, spark.conf.get("spark.sql.session.timeZone"), *rows)
"""
# A shell as a fresh machine gives it: no Java, no activated environment.
BARE = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}

SPARK = Path(pyspark.__file__).parent

needs_jars = pytest.mark.skipif(
    bool(toolchain.missing(toolchain.VENV / "jars", toolchain.s3_client(SPARK).jars)),
    reason="`make setup` could not reach Maven Central",
)


def fake_java(folder: Path, version: str) -> Path:
    """A `java` that answers as Java does, of the given version."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    answer = f"    java.home = {folder}\n    java.specification.version = {version}\n"
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{answer}END\n")
    java.chmod(0o755)
    return java


# Java


def test_java_17_of_java_home_comes_before_the_path(tmp_path: Path) -> None:
    home, path = fake_java(tmp_path / "home", "17"), fake_java(tmp_path / "path", "17")
    found = toolchain.find_java({"JAVA_HOME": str(home.parents[1]), "PATH": str(path.parent)})
    assert found == tmp_path / "home"


@pytest.mark.parametrize("version", ["1.8", "11", "21"])
def test_another_java_in_java_home_gives_way_to_17_on_the_path(tmp_path: Path, version: str) -> None:
    home, path = fake_java(tmp_path / "home", version), fake_java(tmp_path / "path", "17")
    found = toolchain.find_java({"JAVA_HOME": str(home.parents[1]), "PATH": str(path.parent)})
    assert found == tmp_path / "path"


def test_without_java_17_none_is_found(tmp_path: Path) -> None:
    java = fake_java(tmp_path, "21")
    assert toolchain.find_java({"JAVA_HOME": str(tmp_path / "gone"), "PATH": str(java.parent)}) is None
    assert toolchain.find_java({"PATH": ""}) is None


# Jars


def test_each_spark_has_the_iceberg_that_its_glue_carries() -> None:
    jars = {version: toolchain.iceberg(version).file for version in ("3.5.6", "4.1.1")}
    assert jars == {
        "3.5.6": "iceberg-spark-runtime-3.5_2.12-1.10.0.jar",
        "4.1.1": "iceberg-spark-runtime-4.1_2.13-1.11.0.jar",
    }
    with pytest.raises(toolchain.ToolchainError, match=r"Spark 3\.3\.0 is unknown; it is known for 3\.5 and 4\.1"):
        toolchain.iceberg("3.3.0")


def test_a_mirror_of_maven_central_is_found_in_the_users_settings(tmp_path: Path) -> None:
    settings = tmp_path / "settings.xml"
    settings.write_text(
        '<settings xmlns="any"><mirrors>'
        "<mirror><mirrorOf>other</mirrorOf><url>https://other.invalid/</url></mirror>"
        "<mirror><mirrorOf>releases, central</mirrorOf><url> https://mirror.invalid/ </url></mirror>"
        "</mirrors></settings>"
    )
    assert toolchain.maven_mirror(settings) == "https://mirror.invalid/"


@pytest.mark.parametrize("of", ["other", "*,!central"])
def test_a_mirror_of_something_else_is_not_one_of_maven_central(tmp_path: Path, of: str) -> None:
    settings = tmp_path / "settings.xml"
    settings.write_text(
        f"<settings><mirrors><mirror><mirrorOf>{of}</mirrorOf><url>x</url></mirror></mirrors></settings>"
    )
    assert toolchain.maven_mirror(settings) is None
    assert toolchain.maven_mirror(tmp_path / "absent.xml") is None


def test_jars_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    jars = toolchain.s3_client(SPARK).jars
    for name in toolchain.missing(tmp_path, jars):
        (tmp_path / name).touch()
    toolchain.fetch(jars, tmp_path, java=tmp_path / "none", spark=SPARK)


def test_what_is_no_jar_is_asked_for_by_its_kind_of_maven_and_of_ivy(tmp_path: Path) -> None:
    plugin = toolchain.Artifact("org.example", "engine", "1.0", "zip")
    toolchain.maven_command([plugin], tmp_path, tmp_path)
    toolchain.ivy_command([plugin], tmp_path, tmp_path, tmp_path, tmp_path, None)
    assert "<version>1.0</version><type>zip</type>" in (tmp_path / "pom.xml").read_text()
    assert '<artifact name="engine" type="zip" ext="zip"/>' in (tmp_path / "ivy.xml").read_text()
    assert toolchain.missing(tmp_path, [plugin]) == ["engine-1.0.zip"]
    (tmp_path / "engine-1.0.zip").touch()
    assert toolchain.missing(tmp_path, [plugin]) == []


def test_a_spark_on_a_hadoop_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars/hadoop-client-api-3.5.0.jar").touch()
    with pytest.raises(
        toolchain.ToolchainError, match=r"is built on Hadoop 3\.5\.0; .* known for 3\.3\.4 and 3\.4\.2$"
    ):
        toolchain.s3_client(tmp_path)


def test_an_unreachable_repository_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mvn = tmp_path / "mvn"
    mvn.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\necho '[ERROR] and more'\nexit 1\n")
    mvn.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    message = r"^mvn did not bring hadoop-aws.*Could not transfer artifact\)$"
    with pytest.raises(toolchain.ToolchainError, match=message):
        toolchain.fetch(toolchain.s3_client(SPARK).jars, tmp_path / "jars", java=tmp_path, spark=SPARK)


def test_a_company_mirror_that_is_down_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / ".m2" / "settings.xml"
    settings.parent.mkdir()
    settings.write_text(
        "<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>http://127.0.0.1:1/</url></mirror></mirrors></settings>"
    )
    java = toolchain.find_java(os.environ) or toolchain.install_java()
    # Without Maven it is Ivy's turn; a cache that knows the jars already would not ask the mirror.
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Divy.default.ivy.user.dir={tmp_path / 'ivy'}")
    with pytest.raises(toolchain.ToolchainError, match=r"^java did not bring hadoop-aws[^\n]*127\.0\.0\.1:1"):
        toolchain.fetch(toolchain.s3_client(SPARK).jars, tmp_path / "jars", java, SPARK)


# Settings


def test_settings_name_what_was_found(tmp_path: Path) -> None:
    template = tmp_path / "spark-env.sh"
    template.write_text('JAVA_HOME="@JAVA_HOME@"\n')
    toolchain.write_settings(tmp_path, {"JAVA_HOME": Path("/opt/java")}, [template])
    assert (tmp_path / "conf" / "spark-env.sh").read_text() == 'JAVA_HOME="/opt/java"\n'


def test_every_placeholder_of_the_settings_has_a_value() -> None:
    names = {file.name for file in (toolchain.ROOT / "local" / "spark").iterdir()}
    assert names == {
        "spark-defaults.conf",
        "spark-env.sh",
        "log4j2.properties",
        "out-of-memory.sh",
        "temporary-folder.sh",
        "worker_daemon.py",
    }
    for name in names:
        written = SPARK / "conf" / name
        assert "@" not in written.read_text(), name


@pytest.mark.slow
@pytest.mark.spark
def test_spark_submit_needs_nothing_of_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    submit = [str(BIN / "spark-submit"), str(script), str(tmp_path / "out")]
    ran = subprocess.run(submit, env=BARE, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == f"17 {sys.executable} UTC 3\n", ran.stderr
    assert ran.stderr == "", "Spark is not quiet"


@pytest.mark.slow
@pytest.mark.spark
def test_a_job_whose_java_has_used_up_its_memory_ends_with_one_line(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "from pyspark.sql import SparkSession\n"
        "jvm = SparkSession.builder.getOrCreate()._jvm\n"
        "jvm.java.nio.file.Files.readAllBytes(jvm.java.io.File('large').toPath())\n"
    )
    with (tmp_path / "large").open("wb") as large:
        large.truncate(1 << 30)
    ran = subprocess.run(
        [str(BIN / "spark-submit"), str(script)],
        env=BARE | {"SPARK_DRIVER_MEMORY": "512m"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode != 0
    assert ran.stderr.splitlines()[-1].startswith("spark: Java has used up its memory (SPARK_DRIVER_MEMORY=512m)")


@pytest.mark.slow
@pytest.mark.spark
def test_a_session_takes_sparks_classes_from_the_archive_that_set_up_made(tmp_path: Path) -> None:
    java = Path((BIN.parent / ".configured").read_text().strip())
    if not (java / "lib/server/classes.jsa").is_file():
        pytest.skip("this Java has no archive of its own classes, on which ours would stand")
    (tmp_path / "job.py").write_text(
        "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().stop()\n"
    )
    loaded = tmp_path / "loaded.txt"
    environment = BARE | {"SPARK_SUBMIT_OPTS": f'-Xlog:class+load:file="{loaded}"'}
    ran = subprocess.run([BIN / "spark-submit", tmp_path / "job.py"], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    archived = [line for line in loaded.read_text().splitlines() if line.endswith("shared objects file (top)")]
    assert sum(" org.apache.spark." in line for line in archived) > 500


@pytest.mark.slow
@pytest.mark.spark
@needs_jars
def test_spark_submit_reaches_s3_as_boto3_does(tmp_path: Path, s3: S3Server) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    buckets = {scheme: s3.bucket() for scheme in ("s3", "s3a")}
    submit = [str(BIN / "spark-submit"), str(script), *(f"{scheme}://{name}/out" for scheme, name in buckets.items())]
    ran = subprocess.run(submit, env=BARE | s3.environment(), cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.endswith("UTC 3 3\n"), ran.stderr
    for name in buckets.values():
        assert [key for key in s3.keys(name) if key.endswith(".parquet")], s3.keys(name)


@needs_jars
def test_the_s3_jars_list_rename_and_upload_in_parts(spark: SparkSession, s3: S3Server, tmp_path: Path) -> None:
    s3.configure(spark)
    bucket = s3.bucket()
    jvm: Any = spark._jvm
    root = f"s3a://{bucket}/folder"
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    # 12 MB in parts of 5 MB: the smallest that S3 takes.
    hadoop.set("fs.s3a.multipart.size", "5M")
    hadoop.set("fs.s3a.multipart.threshold", "5M")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(12 * 1024 * 1024))
    path = jvm.org.apache.hadoop.fs.Path
    files = path(root).getFileSystem(hadoop)
    local = path(str(big))
    jvm.org.apache.hadoop.fs.FileUtil.copy(local.getFileSystem(hadoop), local, files, path(f"{root}/a"), False, hadoop)
    assert files.rename(path(f"{root}/a"), path(f"{root}/b"))
    assert [found.getPath().getName() for found in files.listStatus(path(root))] == ["b"]
    assert s3.client.get_object(Bucket=bucket, Key="folder/b")["Body"].read() == big.read_bytes()
    # An ETag with a dash is S3's mark of an upload in parts.
    assert "-" in s3.client.head_object(Bucket=bucket, Key="folder/b")["ETag"]
    assert not files.exists(path(f"{root}/a"))

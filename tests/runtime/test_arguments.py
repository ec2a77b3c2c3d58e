"""Arguments of the jobs: given in either form, checked, and refused with one clear message."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from catlake.runtime import arguments
from catlake.runtime.arguments import (
    Argument,
    FromEnvironment,
    choice,
    flag,
    iso_date,
    name,
    optional,
    parse_arguments,
    uri,
    whole_number,
)
from catlake.runtime.environment import environment_names
from catlake.runtime.errors import ArgumentError

DECLARED = (
    Argument("export_uri", uri),
    Argument("max_export_age_hours", optional(whole_number), None),
    Argument("allow_filtered_export", flag, False),
    Argument("first_date", optional(iso_date), FromEnvironment("first_conversation_date")),
    Argument("excluded_cities", optional(str), FromEnvironment("excluded_cities")),
)
GIVEN = {"--JOB_NAME": "x", "--lake_uri": "lake", "--export_uri": "export"}


def argv(*more: str, without: str = "") -> list[str]:
    given = [text for pair in GIVEN.items() if pair[0] != without for text in pair]
    return ["script.py", *given, *more]


def error_of(given: list[str]) -> str:
    with pytest.raises(ArgumentError) as error:
        parse_arguments(DECLARED, given)
    return str(error.value)


def test_arguments_are_given_with_a_space_or_an_equals_sign() -> None:
    spaced = argv("--environment", "prod", "--run_date", "2025-11-20", "--first_date", "2025-01-31")
    pairs = zip(spaced[1::2], spaced[2::2], strict=True)
    equals = ["script.py", *(f"{flag}={value}" for flag, value in pairs)]
    assert parse_arguments(DECLARED, spaced) == parse_arguments(DECLARED, equals)
    assert parse_arguments(DECLARED, spaced) == {
        "JOB_NAME": "x",
        "lake_uri": "lake",
        "environment": "prod",
        "run_date": date(2025, 11, 20),
        "max_quarantined": 100,
        "max_shrink": Decimal("0.5"),
        "catalog": "aws",
        "export_uri": "export",
        "max_export_age_hours": None,
        "allow_filtered_export": False,
        "first_date": date(2025, 1, 31),
        "excluded_cities": "mexico|medell|cali|barranquilla|cartagena|potosí|valle|antioquia",
    }


def test_what_is_not_given_has_the_environments_default_and_today_in_utc() -> None:
    values = parse_arguments(DECLARED, argv())
    assert (values["environment"], values["first_date"], values["excluded_cities"]) == ("local", None, None)
    assert values["run_date"] == datetime.now(UTC).date()
    assert parse_arguments(DECLARED, argv("--environment=prod"))["first_date"] == date(2025, 8, 4)


def test_none_stands_for_no_limit_whatever_the_environment_says() -> None:
    free = ("--first_date", "none", "--excluded_cities=none", "--max_shrink", "none")
    values = parse_arguments(DECLARED, argv("--environment", "prod", *free))
    assert (values["first_date"], values["excluded_cities"], values["max_shrink"]) == (None, None, None)


@pytest.mark.parametrize("text", ["0", "0.25", "1", "1.0"])
def test_a_fraction_is_exact(text: str) -> None:
    assert parse_arguments(DECLARED, argv("--max_shrink", text))["max_shrink"] == Decimal(text)


def test_a_flag_is_true_or_false() -> None:
    for text, value in (("true", True), ("false", False)):
        assert parse_arguments(DECLARED, argv("--allow_filtered_export", text))["allow_filtered_export"] is value


def test_a_value_may_hold_spaces_equals_signs_and_accents() -> None:
    values = parse_arguments(DECLARED, argv("--excluded_cities=a=b|potosí", "--max_quarantined", "0"))
    assert (values["excluded_cities"], values["max_quarantined"]) == ("a=b|potosí", 0)
    assert parse_arguments(DECLARED, argv("--excluded_cities", "san luis"))["excluded_cities"] == "san luis"


@pytest.mark.parametrize("missing", GIVEN)
def test_a_missing_argument_names_itself_and_what_to_add(missing: str) -> None:
    assert error_of(argv(without=missing)) == f"{missing} is missing: it is required; add {missing} <value>"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--lake_url", "x"], "--lake_url is no argument of this job; did you mean --lake_uri?"),
        (["--zzz=x"], "--zzz is no argument of this job; it takes --JOB_NAME, --lake_uri, "),
        (["--lake-uri", "x"], "--lake-uri is no argument of this job; did you mean --lake_uri?"),
        (["--First-Date", "2025-01-01"], "--First-Date is no argument of this job; did you mean --first_date?"),
        (["--first_dat", "2025-01-01"], "--first_dat is no argument of this job; did you mean --first_date?"),
        (["--export=x"], "--export is no argument of this job; did you mean --export_uri?"),
        (["--lake_uri", "y"], "--lake_uri is given 2 times; give it once"),
        (["--lake_uri=y", "--lake_uri=z"], "--lake_uri is given 3 times; give it once"),
        (["--run_date"], "--run_date has no value; write --run_date=<value>"),
        (["--run_date", "--first_date", "2025-01-01"], "--run_date has no value; write --run_date=<value>"),
        (["--run_date", "20251120"], "--run_date '20251120': must be a date, YYYY-MM-DD"),
        (["--run_date", "2025-11-31"], "--run_date '2025-11-31': must be a date of the calendar, YYYY-MM-DD"),
        (["--run_date="], "--run_date '': must be a date, YYYY-MM-DD"),
        (["--first_date", "None"], "--first_date 'None': must be a date, YYYY-MM-DD"),
        (["--max_quarantined", "many"], "--max_quarantined 'many': must be a whole number, 0 or more"),
        (["--max_quarantined=-1"], "--max_quarantined '-1': must be a whole number, 0 or more"),
        (["--max_shrink", "50"], "--max_shrink '50': must be a number from 0 to 1, like 0.5"),
        (["--max_shrink=-0.5"], "--max_shrink '-0.5': must be a number from 0 to 1, like 0.5"),
        (["--allow_filtered_export", "yes"], "--allow_filtered_export 'yes': must be true or false"),
        (["--environment", "dev"], f"--environment 'dev': must be one of {', '.join(environment_names())}"),
    ],
)
def test_a_wrong_argument_names_itself_its_rule_and_what_was_given(given: list[str], message: str) -> None:
    found = error_of(argv(*given))
    assert found.startswith(message)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("--JOB_NAME", "a/b", "must be 1 to 128 letters, digits, '.', '_' or '-'"),
        ("--JOB_NAME", "..", "must be 1 to 128 letters, digits, '.', '_' or '-'"),
        ("--JOB_NAME", "x\n", "must be 1 to 128 letters, digits, '.', '_' or '-'"),
        ("--lake_uri", "gs://bucket", "must be a folder, s3://bucket/… or s3a://bucket/…"),
        ("--lake_uri", "s3://", "must be a folder, s3://bucket/… or s3a://bucket/…"),
        ("--export_uri", " ", "must be a folder, s3://bucket/… or s3a://bucket/…, not empty"),
    ],
)
def test_names_and_places_have_their_rules(flag: str, value: str, rule: str) -> None:
    assert error_of(argv(flag, value, without=flag)) == f"{flag} {value!r}: {rule}"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("s3://bucket/data//lake", "must have no empty name"),
        ("s3a://bucket//lake", "must have no empty name"),
        ("s3://bucket/./lake", "must have no empty name"),
        ("s3://bucket/data/../lake", "must have no empty name"),
        ("s3://bucket/..", "must have no empty name"),
        ("s3://bucket/lake/.//", "must have no empty name"),
        ("s3://../lake", "must have the name of a bucket"),
        ("s3:/bucket/lake", "must be s3://bucket/…, with two slashes"),
        ("s3a:bucket/lake", "must be s3a://bucket/…, with two slashes"),
        ("hdfs:/lake", "must be a folder, s3://"),
        ("S3:/bucket/lake", "must be a folder, s3://"),
        ("file://tmp/lake", "must be file:///<folder>"),
        ("file:///", "must be file:///<folder>"),
        ("file:///tmp/a%00b", "must be file:///<folder>"),
        ("file:///tmp/a%ff", "must be file:///<folder>"),
    ],
)
def test_a_place_that_not_all_clients_find_alike_is_refused(given: str, rule: str) -> None:
    for place in ("--lake_uri", "--export_uri"):
        assert error_of(argv(place, given, without=place)).startswith(f"{place} {given!r}: {rule}")


@pytest.mark.parametrize(
    "given", ["s3://bucket/lake/", "s3://bucket//", "s3a://b/a.b/..c/d", "file:/tmp/x?y", "//tmp/x"]
)
def test_what_all_clients_find_alike_is_a_place(given: str) -> None:
    assert uri(given) == given


def test_a_value_may_begin_with_a_hyphen() -> None:
    assert parse_arguments(DECLARED, argv("--excluded_cities", "-abc"))["excluded_cities"] == "-abc"
    assert parse_arguments(DECLARED, argv("--excluded_cities=--abc"))["excluded_cities"] == "--abc"


def test_a_value_with_blanks_that_is_not_in_quotes_is_refused() -> None:
    message = "--excluded_cities has 'luis' behind its value; put a value with blanks in quotes"
    assert error_of(argv("--excluded_cities", "san", "luis")) == message
    assert error_of(argv("--excluded_cities=san", "luis")) == message
    # What Glue gives itself may have any form.
    assert parse_arguments(DECLARED, argv("--TempDir", "a", "b", "c"))["lake_uri"] == "lake"


ID = "ana_x9"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--person", f"NO#{ID}"], "--person: must be another"),
        (["--person", f"https://{ID}:{ID}@host"], "--person: must hold no password"),
        (["--person", f"{ID}\udcff"], "an argument must be UTF-8"),
        (["--persona", f"{ID}\udcff"], "an argument must be UTF-8"),
        (["--person", f"--{ID}"], "--person has no value; write --person=<value>"),
        ([f"--person_{ID}"], "--person… is no argument of this job; did you mean --person?"),
        (["--person", "x", ID], "--person has a second text behind its value; "),
        (["--person", ID, "--person", "x"], "--person is given 2 times; give it once"),
        (["--Person", ID], "--Person is no argument of this job; did you mean --person?"),
    ],
)
def test_no_message_shows_a_person(given: list[str], message: str) -> None:
    def person(text: str) -> str:
        if text.startswith("NO#"):
            raise ValueError("must be another")
        return text

    with pytest.raises(ArgumentError) as error:
        parse_arguments((Argument("person", person, None, is_personal=True), *DECLARED), argv(*given))
    assert str(error.value).startswith(message)
    assert ID not in str(error.value)


def test_what_glue_adds_by_itself_is_let_through() -> None:
    glue = ["--enable-metrics", "true", "--TempDir", "s3://t/", "--JOB_ID", "j_1", "--JOB_RUN_ID", "jr_1"]
    glue += ["--job-bookmark-option", "job-bookmark-disable", "--WORKFLOW_NAME", "w", "--job-language", "python"]
    # Repeated, and without a value.
    glue += ["--conf", "spark.a=1", "--conf", "spark.b=2", "--enable-observability-metrics", "--enable-auto-scaling"]
    assert parse_arguments(DECLARED, argv(*glue))["JOB_NAME"] == "x"


def glue_flags() -> list[str]:
    """Glue's own arguments, as its developer guide lists them."""
    lines = (Path(__file__).parents[1] / "data/glue/job-arguments.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("--")]


@pytest.mark.parametrize("given", glue_flags())
def test_glues_own_arguments_never_stop_a_job(given: str) -> None:
    for written in ([given], [given, ""], [given, "x"], [f"{given}=x"], [given, "x y"], [given, given, "x", given]):
        before, after = ["script.py", *written, *argv()[1:]], argv(*written)
        for whole in (before, after):
            assert parse_arguments(DECLARED, whole)["lake_uri"] == "lake"


@pytest.mark.parametrize("value", ["--upgrade", "--no-index --upgrade", "-r", "--lake"])
def test_the_options_for_pip_may_begin_with_dashes(value: str) -> None:
    assert parse_arguments(DECLARED, argv("--python-modules-installer-option", value))["JOB_NAME"] == "x"


def test_several_settings_of_spark_are_let_through_as_glue_wants_them_written() -> None:
    settings = ["--conf", "spark.a=1 --conf spark.b=2", "--conf", "spark.c=3", "--conf=spark.d=4"]
    assert parse_arguments(DECLARED, argv(*settings))["JOB_NAME"] == "x"


def test_of_a_name_that_glue_gives_again_the_last_counts() -> None:
    assert parse_arguments(DECLARED, argv("--JOB_NAME", "y"))["JOB_NAME"] == "y"
    assert parse_arguments(DECLARED, argv("--JOB_NAME"))["JOB_NAME"] == "x"
    assert error_of(argv("--JOB_NAME", without="--JOB_NAME")) == "--JOB_NAME has no value; write --JOB_NAME=<value>"


def test_a_misspelt_argument_after_one_of_glue_is_still_seen() -> None:
    assert error_of(argv("--enable-metrics", "--first_dat", "2025-01-01")).startswith("--first_dat is no argument")


@pytest.mark.parametrize("text", ["2025-11-20\n", " 2025-11-20", "2025-1-2", "２０２５-11-20", "0000-01-01"])
def test_dates_are_whole_and_plain(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date"):
        iso_date(text)


@pytest.mark.parametrize("text", ["", "1 ", "1.0", "+1", "1_000", "٣", "9" * 19])
def test_counts_are_whole_and_plain(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        whole_number(text)


def test_each_kind_of_argument_takes_what_it_should() -> None:
    assert iso_date("2024-02-29") == date(2024, 2, 29)
    assert whole_number("007") == 7
    assert name("cat-prod.etl_1") == "cat-prod.etl_1"
    for place in ("lake", "/tmp/con espacio", "file:///tmp/x", "s3://bucket", "s3a://bucket/a/b"):
        assert uri(place) == place
    assert choice("required", "optional")("optional") == "optional"
    with pytest.raises(ValueError, match="must be one of required, optional"):
        choice("required", "optional")("Optional")
    assert optional(whole_number)("none") is None and optional(whole_number)("3") == 3


def test_a_default_may_be_a_value_or_a_function() -> None:
    declared = [Argument("a", default="x"), Argument("b", default=lambda: 3)]
    values = parse_arguments(declared, ["s.py", "--JOB_NAME", "x", "--lake_uri", "l"])
    assert (values["a"], values["b"]) == ("x", 3)
    assert arguments.today() == datetime.now(UTC).date()

"""One row a user: the twelve columns, and what becomes of each user (SPEC 2.1)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.contract import contract
from catlake.conversations import items, users
from catlake.runtime.environment import environment
from catlake.runtime.errors import ArgumentError
from tests.conversations.table import assert_rows, conversation, feedback, from_items, said
from tests.samples.catia_oddities import Exact, message
from tests.samples.export_files import Item

PROD = environment("prod")
LABELS = replace(environment("test"), unnamed_user="Nadie", unknown_place="Sin lugar")


def grouped(spark: SparkSession, *given: Item) -> DataFrame:
    return from_items(spark, *given).transform(items.classified, None).transform(users.grouped_by_user)


def described(spark: SparkSession, *given: Item) -> DataFrame:
    return grouped(spark, *given).transform(users.described, LABELS)


def values(spark: SparkSession, column: str, *given: Item) -> dict[str, Any]:
    """A column's value by user."""
    return {row[0]: row[1] for row in described(spark, *given).select("usuario_id", column).collect()}


def only(spark: SparkSession, column: str, *given: Item) -> Any:
    """A column's value of the only user."""
    (value,) = values(spark, column, *given).values()
    return value


def person(user: str, sort_key: str = "CONVERSATION#1", created: str = "2025-09-01", **data: object) -> Item:
    return conversation(user, sort_key, UserData=data, CreatedAt=created)


# grouped_by_user


def test_items_are_grouped_by_user_and_counted_and_only_kept_ones(spark: SparkSession) -> None:
    given = [
        conversation("ana", "CONVERSATION#1"),
        conversation("ana", "CONVERSATION#2"),
        feedback("ana"),
        feedback("eva"),
        conversation("eva", "REGISTER#1"),
        conversation("leo", "PREFERENCES#1"),
        conversation("sol"),
    ]
    rows = from_items(spark, *given, reasons=[None] * 6 + ["broken"]).transform(items.classified, None)
    assert_rows(
        rows.transform(users.grouped_by_user).select("usuario_id", "conversation_items", "feedback_items"),
        "usuario_id string, conversation_items int, feedback_items bigint",
        [("ana", 2, 1), ("eva", 0, 1)],
    )


def test_keys_of_one_user_id_are_one_user_and_a_bare_prefix_is_an_id(spark: SparkSession) -> None:
    given = [
        conversation("ana"),
        {**conversation("ana", "CONVERSATION#2"), "PK": {"S": "ana"}},
        {**conversation("x"), "PK": {"S": "USER#"}},
    ]
    assert_rows(
        grouped(spark, *given).select("usuario_id", "conversation_items"),
        "usuario_id string, conversation_items int",
        [("USER#", 1), ("ana", 2)],
    )


def test_conversations_and_feedbacks_are_ordered_by_created_at_undated_last_ties_by_sort_key(
    spark: SparkSession,
) -> None:
    created = {
        "CONVERSATION#e": "2025-09-03T00:00:00Z",
        "CONVERSATION#a": "ayer",
        "CONVERSATION#d": "2025-09-02T20:00:00-05:00",
        "CONVERSATION#c": "2025-09-03T01:00:00Z",
        "CONVERSATION#B": None,
        "CONVERSATION#f": "2025-09-02",
        "CONVERSATION#g": "2025-09-03",
    }
    in_order = [f"CONVERSATION#{letter}" for letter in "fegcdBa"]
    given = [conversation(sort_key=key, CreatedAt=text) for key, text in created.items()]
    given += [
        feedback(sort_key=key.replace("CONVERSATION", "FEEDBACK"), CreatedAt=text) for key, text in created.items()
    ]
    row = grouped(spark, *given).select("conversations.sk", "feedbacks.sk").first()
    assert row is not None
    assert row[0] == in_order
    assert row[1] == [key.replace("CONVERSATION", "FEEDBACK") for key in in_order]


# described: the person


def test_the_user_id_is_the_partition_key_without_user(spark: SparkSession) -> None:
    ids = ["ana", "ana#2", "USER#ana", "user#eva", "ñandú 🙂"]
    assert sorted(values(spark, "usuario_id", *(conversation(each) for each in ids))) == sorted(ids)


def test_name_and_places_are_the_earliest_non_empty_ones(spark: SparkSession) -> None:
    given = [
        person("ana", "CONVERSATION#3", "2025-09-03", nombre="Tarde", gerencia="Tarde", ciudad="Tarde"),
        person("ana", "CONVERSATION#1", "2025-09-01", nombre=" ", gerencia=None, ciudad="Tunja"),
        person("ana", "CONVERSATION#2", "2025-09-02", nombre=" Ana \n", gerencia="Legal", ciudad="Cali"),
        person("ana", "CONVERSATION#0", "sin fecha", nombre="Última", gerencia="Última", ciudad="Última"),
        conversation("ana", "REGISTER#1", CreatedAt="2025-01-01", UserData={"nombre": "Registro"}),
        feedback("ana", "FEEDBACK#1", CreatedAt="2025-01-01", UserData={"nombre": "Opinión"}),
        person("eva", nombre="Eva", gerencia="(solo ruido)", ciudad=""),
    ]
    assert_rows(
        described(spark, *given).select("usuario_id", "nombre", "gerencia", "ciudad"),
        "usuario_id string, nombre string, gerencia string, ciudad string",
        [("ana", "Ana", "Legal", "Tunja"), ("eva", "Eva", "Sin lugar", "Sin lugar")],
    )


def test_places_stand_in_for_each_other_and_labels_for_what_stays_empty(spark: SparkSession) -> None:
    given = [
        person("gerencia", "CONVERSATION#1", gerencia="Legal"),
        # The later conversation has the city: it comes before the other place.
        person("later", "CONVERSATION#1", "2025-09-01", gerencia="Legal"),
        person("later", "CONVERSATION#2", "2025-09-02", ciudad="Tunja"),
        person("ciudad", ciudad="Tunja", nombre=None),
        conversation("none", UserData=None),
        conversation("text", UserData='{"nombre": "Ana", "ciudad": "Chía"}'),
        conversation("blank", UserData="  "),
    ]
    assert_rows(
        described(spark, *given).select("usuario_id", "nombre", "gerencia", "ciudad"),
        "usuario_id string, nombre string, gerencia string, ciudad string",
        [
            ("gerencia", "Nadie", "Legal", "Legal"),
            ("later", "Nadie", "Legal", "Tunja"),
            ("ciudad", "Nadie", "Tunja", "Tunja"),
            ("none", "Nadie", "Sin lugar", "Sin lugar"),
            ("text", "Ana", "Chía", "Chía"),
            ("blank", "Nadie", "Sin lugar", "Sin lugar"),
        ],
    )


def test_the_labels_of_prod_are_those_of_the_spec() -> None:
    assert (PROD.unnamed_user, PROD.unknown_place) == ("Usuario Anónimo", "Bogotá")


PLACES = {
    "Bogotá (Colombia)": "Bogotá",
    "Bogotá(D.C.)": "Bogotá",
    "Bogotá (D.C.) (Colombia) ": "Bogotá",
    "Bogotá (D.C.)\u00a0(Colombia)": "Bogotá",
    "Subgerencia (avalúos (SGA))": "Subgerencia",
    "Bogotá ()": "Bogotá",
    "Bogotá (línea\nrota)": "Bogotá",
    "Villa (vieja) del Río": "Villa (vieja) del Río",
    "(Gran) Bogotá": "(Gran) Bogotá",
    "(Gran) Bogotá (D.C.)": "(Gran) Bogotá",
    "Bogotá (": "Bogotá (",
    "Bogotá )": "Bogotá )",
    "Bogotá": "Bogotá",
}


def test_a_trailing_parenthesis_is_noise_in_a_place_also_repeated_and_never_in_a_person(spark: SparkSession) -> None:
    given = [person(place, nombre=place, gerencia=place, ciudad=place) for place in PLACES]
    assert_rows(
        described(spark, *given).select("usuario_id", "nombre", "gerencia", "ciudad"),
        "usuario_id string, nombre string, gerencia string, ciudad string",
        [(place, place.strip(), cleaned, cleaned) for place, cleaned in PLACES.items()],
    )


def test_a_hostile_place_takes_no_time(spark: SparkSession) -> None:
    hostile = "(" * 20_000 + "()" * 20_000 + " ( a" * 5_000
    assert only(spark, "ciudad", person("ana", ciudad=hostile)) == hostile


# described: conversations


def test_first_conversation_is_the_earliest_utc_day_and_empty_without_dates(spark: SparkSession) -> None:
    given = [
        conversation("ana", "CONVERSATION#1", CreatedAt="2025-09-30T20:00:00-05:00"),
        conversation("ana", "CONVERSATION#2", CreatedAt="2025-10-02"),
        conversation("ana", "CONVERSATION#3", CreatedAt="ayer"),
        feedback("ana", CreatedAt="2025-01-01"),
        conversation("eva", CreatedAt="ayer"),
    ]
    assert_rows(
        described(spark, *given).select("usuario_id", "fecha_primera_conversacion", "numero_conversaciones"),
        "usuario_id string, fecha_primera_conversacion string, numero_conversaciones int",
        [("ana", "01/10/2025", 3), ("eva", None, 1)],
    )


def test_all_messages_are_in_order_with_their_conversation_and_speaker(spark: SparkSession) -> None:
    senders = ["user", " USER ", "Usuario", "bot", "ASSISTANT", "\tCatia\n", "system", " Asesor Humano ", None]
    given = [
        conversation(
            sort_key="CONVERSATION#2", CreatedAt="2025-09-01", Conversation=[message(each, "hola") for each in senders]
        ),
        conversation(sort_key="conversation#1", CreatedAt="2025-09-02", Conversation='[{"from": "CATIA"}]'),
        conversation(sort_key="CONVERSATION#0", CreatedAt="2025-09-03", Conversation=None),
    ]
    text = only(spark, "conversacion_completa", *given)
    names = ["user", "user", "user", "bot", "bot", "bot", "system", " Asesor Humano ", None]
    base = {"conversacion": "CONVERSATION#2", "from": "user", "text": "hola", "timestamp": "2025-09-01T15:00:00Z"}
    last = {"conversacion": "conversation#1", "from": "bot", "text": None, "timestamp": None}
    assert json.loads(text) == [*({**base, "from": name} for name in names), last]
    assert text.startswith(
        '[{"conversacion":"CONVERSATION#2","from":"user","text":"hola","timestamp":"2025-09-01T15:00:00Z"},'
    )


def test_a_user_without_messages_has_an_empty_array(spark: SparkSession) -> None:
    assert only(spark, "conversacion_completa", conversation(Conversation="null")) == "[]"


def test_questions_are_the_users_distinct_texts_verbatim_in_order(spark: SparkSession) -> None:
    texts = ["b ", "a", " \t\n", None, "", "b", "b ", "A", "x | y", 'user: "hola"\r\n🙂\x00fin', "\u3000", "a"]
    talk = [*said(*texts), message("bot", "respuesta"), message("system", "regla"), message(" Usuario ", "fin")]
    given = [
        conversation(sort_key="CONVERSATION#2", CreatedAt="2025-09-02", Conversation=said("a", "tarde")),
        conversation(sort_key="CONVERSATION#1", CreatedAt="2025-09-01", Conversation=talk),
    ]
    assert only(spark, "pregunta_conversacion", *given) == " | ".join(
        ["b ", "a", "b", "A", "x | y", 'user: "hola"\r\n🙂\x00fin', "fin", "tarde"]
    )


def test_texts_come_whole_into_the_array_of_messages(spark: SparkSession) -> None:
    texts = [
        '"',
        "\\",
        "\x00\x01\x1f\x7f",
        "\u2028\u2029\ufeff",
        "\ud83d\ude42".encode("utf-16", "surrogatepass").decode("utf-16"),
        "a" * 200_000,
        "</script>",
        " ",
    ]
    found = json.loads(only(spark, "conversacion_completa", conversation(Conversation=said(*texts))))
    assert [each["text"] for each in found] == texts


# described: feedback


def test_feedback_is_like_dislike_mixed_or_nothing_and_counts_likes_and_dislikes(spark: SparkSession) -> None:
    opinions: dict[str, list[object]] = {
        "like": [{"type": "like"}, {"type": " LIKE "}],
        "dislike": [{"type": "Dislike"}, {"type": "other"}],
        "mixed": [{"type": "like"}, [{"type": "dislike"}, {"type": "like"}]],
        "other": [{"type": "me gusta"}, {"type": None}, {"comment": "bien"}],
        "none": [],
    }
    given = [conversation(user) for user in opinions]
    given += [
        feedback(user, f"FEEDBACK#{n}", Feedback=each) for user, all_ in opinions.items() for n, each in enumerate(all_)
    ]
    assert_rows(
        described(spark, *given).select("usuario_id", "numero_feedback", "feedback"),
        "usuario_id string, numero_feedback int, feedback string",
        [("like", 2, "like"), ("dislike", 1, "dislike"), ("mixed", 3, "mixed"), ("other", 0, None), ("none", 0, None)],
    )


def test_answers_are_comments_then_options_trimmed_and_distinct_over_both(spark: SparkSession) -> None:
    given = [
        conversation("ana"),
        feedback("ana", "FEEDBACK#2", CreatedAt="2025-09-02", Feedback={"comment": "Otra", "option": "Clara"}),
        feedback(
            "ana",
            "FEEDBACK#1",
            CreatedAt="2025-09-03",
            Feedback=[{"comment": " bien \n", "option": "Otra"}, {"comment": "bien", "option": " "}, {"comment": None}],
        ),
        feedback("ana", "FEEDBACK#3", CreatedAt="sin fecha", Feedback='{"comment": "a | b\\nc", "option": "Bien"}'),
        conversation("eva"),
    ]
    assert values(spark, "respuesta_feedback", *given) == {"ana": "Otra | bien | a | b\nc | Clara | Bien", "eva": ""}


def test_feedback_total_is_the_raw_feedback_in_order_with_all_digits(spark: SparkSession) -> None:
    digits = "98765432109876543210987654321098765432"
    exotic = Exact({"M": {"n": {"N": digits}, "s": {"NS": ["1", "2.50"]}, "b": {"B": "AP8="}, "t": {"S": 'á"\n'}}})
    given = [
        conversation("ana"),
        feedback("ana", "FEEDBACK#c", CreatedAt="ayer", Feedback=f'{{"id": {digits}, "type": "like"}}'),
        feedback("ana", "FEEDBACK#b", CreatedAt="2025-09-02", Feedback=exotic),
        feedback("ana", "FEEDBACK#a", CreatedAt="2025-09-02", Feedback=[{"type": "like"}, None, {}]),
        conversation("eva"),
    ]
    assert values(spark, "feedback_total", *given) == {
        "ana": f'[{{"type":"like"}},{{}},{{"n":{digits},"s":[1,2.50],"b":"AP8=","t":"á\\"\\n"}},'
        f'{{"id":{digits},"type":"like"}}]',
        "eva": "[]",
    }


def test_a_feedback_on_a_conversation_counts_at_the_conversations_own_time(spark: SparkSession) -> None:
    given = [
        conversation("ana", CreatedAt="2025-09-02", Feedback={"type": "dislike", "comment": "mal"}),
        feedback("ana", CreatedAt="2025-09-01"),
    ]
    assert_rows(
        described(spark, *given).select("numero_feedback", "feedback", "feedback_total", "numero_conversaciones"),
        "numero_feedback int, feedback string, feedback_total string, numero_conversaciones int",
        [(2, "mixed", '[{"type":"like"},{"type":"dislike","comment":"mal"}]', 1)],
    )


def test_feedback_is_joined_to_its_own_user_only(spark: SparkSession) -> None:
    given = [conversation("ana"), conversation("eva"), feedback("eva")]
    assert values(spark, "feedback", *given) == {"ana": None, "eva": "like"}


# fate


CITIES = {
    "Medellín": "excluded_city",
    "medellin (Antioquia)": "excluded_city",
    "CALI": "excluded_city",
    "Mexico DF": "excluded_city",
    "Ciudad de México": "kept",
    "San Luis Potosí": "excluded_city",
    "POTOSÍ": "excluded_city",
    "Potosi": "kept",
    "Valledupar": "excluded_city",
    "Bogotá": "kept",
    # What is in the parentheses is noise, and not in the final city.
    "Chía (Valle)": "kept",
}


def test_cities_are_searched_without_regard_to_case_accents_too(spark: SparkSession) -> None:
    rows = described(spark, *(person(city, ciudad=city) for city in CITIES))
    found = rows.select("usuario_id", users.fate(PROD.excluded_cities).alias("fate"))
    assert_rows(found, "usuario_id string, fate string", CITIES.items())


def test_the_city_that_counts_is_the_users_final_one(spark: SparkSession) -> None:
    given = [
        # The department stands in, and so excludes; an excluded department beside a kept city does not.
        person("stand-in", gerencia="Sede Cali"),
        person("department", gerencia="Sede Cali", ciudad="Tunja"),
        person("moved-away", "CONVERSATION#1", "2025-09-01", ciudad="Tunja"),
        person("moved-away", "CONVERSATION#2", "2025-09-02", ciudad="Cali"),
        # His only conversation would have been in a kept city; he has none.
        feedback("silent"),
    ]
    rows = described(spark, *given)
    assert_rows(
        rows.select("usuario_id", users.fate("cali").alias("fate")),
        "usuario_id string, fate string",
        [
            ("stand-in", "excluded_city"),
            ("department", "kept"),
            ("moved-away", "kept"),
            ("silent", "feedback_without_conversation"),
        ],
    )
    assert rows.where(users.fate(None) == "excluded_city").count() == 0


def test_the_label_of_an_unknown_city_is_searched_as_well(spark: SparkSession) -> None:
    rows = described(spark, conversation("ana", UserData=None)).select(users.fate("sin lugar"))
    assert rows.first() == ("excluded_city",)


@pytest.mark.parametrize("pattern", ["cali(", "*", "[a-"])
def test_a_pattern_that_is_none_is_refused_with_its_reason(spark: SparkSession, pattern: str) -> None:
    with pytest.raises(ArgumentError, match=r"^--excluded_cities '.*': must be a regular expression of Java: \w"):
        users.checked_pattern(spark, pattern)


def test_an_empty_pattern_is_refused_because_it_is_found_everywhere(spark: SparkSession) -> None:
    with pytest.raises(ArgumentError, match=r"^--excluded_cities '': would leave every city out; write none"):
        users.checked_pattern(spark, "")


@pytest.mark.parametrize("pattern", [None, "cali|valle", r"^san\b"])
def test_a_pattern_that_is_one_is_taken_as_it_is(spark: SparkSession, pattern: str | None) -> None:
    assert users.checked_pattern(spark, pattern) == pattern


def test_described_has_the_columns_of_the_contract_and_the_counts(spark: SparkSession) -> None:
    names = described(spark, conversation()).columns
    assert names == [*contract("normalized_conversations").struct.names, "conversation_items", "feedback_items"]

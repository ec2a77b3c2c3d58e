"""One row a user: the twelve columns, and what becomes of each user (docs/spec.md 2.1)."""

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.contracts.contract import contract
from catlake.contracts.kept_rows import GONE
from catlake.conversations import items, users
from catlake.runtime.environment import environment
from catlake.runtime.errors import StoreError
from tests.conversations.table import conversation, feedback, flat_rows, from_items, said
from tests.samples.catia_oddities import Exact, message
from tests.samples.export_files import Item

PROD = environment("prod")
LABELS = replace(environment("test"), unnamed_user="Nadie", unknown_place="Sin lugar")


def described(*given: Item) -> dict[str, dict[str, Any]]:
    """The rows of users by id; their items come in the order of `given` where the dates do not differ."""
    kept = [{**row, users.WAS: False} for row in flat_rows(*given) if row["outcome"] == "kept"]
    kept.sort(key=lambda row: (row["usuario_id"], row["created"] is None, row["created"], row["sk"]))
    schema = to_arrow_schema(T.StructType([*items.FLAT, T.StructField(users.WAS, T.BooleanType())]))
    ordered = pa.RecordBatch.from_pylist(kept, schema).select(users.ITEM)
    return {row["usuario_id"]: row for batch in users.UserRows(LABELS, None)([ordered]) for row in batch.to_pylist()}


def values(column: str, *given: Item) -> dict[str, Any]:
    """A column's value by user."""
    return {user: row[column] for user, row in described(*given).items()}


def only(column: str, *given: Item) -> Any:
    """A column's value of the only user."""
    (value,) = values(column, *given).values()
    return value


def places(*given: Item) -> set[tuple[str, ...]]:
    """Id, name, department and city of each user."""
    names = ("usuario_id", "nombre", "gerencia", "ciudad")
    return {tuple(row[name] for name in names) for row in described(*given).values()}


def person(user: str, sort_key: str = "CONVERSATION#1", created: str = "2025-09-01", **data: object) -> Item:
    return conversation(user, sort_key, UserData=data, CreatedAt=created)


# by_user


def test_kept_items_are_grouped_by_user_in_order_of_the_ids(spark: SparkSession, monkeypatch: Any) -> None:
    # Each user in a batch of its own.
    monkeypatch.setattr(users, "BATCH_BYTES", 1)
    created = {
        "CONVERSATION#e": "2025-09-03T00:00:00Z",
        "CONVERSATION#a": "ayer",
        "CONVERSATION#d": "2025-09-02T20:00:00-05:00",
        "CONVERSATION#c": "2025-09-03T01:00:00Z",
        "CONVERSATION#B": None,
        "CONVERSATION#f": "2025-09-02",
        "CONVERSATION#g": "2025-09-03",
    }
    given = [
        conversation("ñandú"),
        conversation("ana", "CONVERSATION#1"),
        {**conversation("ana", "CONVERSATION#2"), "PK": {"S": "ana"}},
        feedback("ana"),
        feedback("eva"),
        conversation("eva", "REGISTER#1"),
        conversation("leo", "PREFERENCES#1"),
        {**conversation("x"), "PK": {"S": "USER#"}},
        *(conversation("order", key, CreatedAt=text) for key, text in created.items()),
        *(feedback("order", f"FEEDBACK{key[-2:]}", CreatedAt=text, Feedback={"comment": key[-1]})
          for key, text in created.items()),
        conversation("sol"),
    ]  # fmt: skip
    rows = from_items(spark, *given, reasons=[None] * (len(given) - 1) + ["broken"]).transform(items.classified, None)
    kept = (
        rows.repartition(3).transform(users.all_items).transform(users.in_order, is_kept=True).where("outcome = 'kept'")
    )
    found = kept.select(*users.ITEM).mapInArrow(users.UserRows(LABELS, None), users.USER).collect()
    assert [(row["usuario_id"], row["conversation_items"], row["feedback_items"]) for row in found] == [
        ("USER#", 1, 0),
        ("ana", 2, 1),
        ("eva", 0, 1),
        ("order", 7, 7),
        ("ñandú", 1, 0),
    ]
    assert found[0].__fields__ == [
        *contract("normalized_conversations").struct.names,
        "conversation_items",
        "feedback_items",
        "was",
        "user_outcome",
        GONE,
    ]
    talk = json.loads(found[3]["conversacion_completa"])
    assert "".join(dict.fromkeys(message["conversacion"][-1] for message in talk)) == "fegcdBa"
    assert found[3]["respuesta_feedback"] == "f | e | g | c | d | B | a"


def test_of_changed_users_all_items_are_there_as_they_are_and_without_texts_as_they_were(spark: SparkSession) -> None:
    old = from_items(spark, conversation("ana"), conversation("eva"), conversation("sol"))
    new = from_items(spark, feedback("ana"), conversation("zoe")).withColumn(GONE, F.lit(False))
    gone = from_items(spark, conversation("sol"), conversation("nobody")).withColumn(GONE, F.lit(True))
    given = users.of_changed_users(old, new.unionByName(gone)).transform(users.in_order)
    found = given.select(*users.ITEM).mapInArrow(users.UserRows(LABELS, None), users.USER)
    names = ("usuario_id", "was", GONE, "conversacion_completa", "numero_feedback")
    assert [
        (user, was, gone, len(talk) > 2, count) for user, was, gone, talk, count in found.select(*names).collect()
    ] == [
        ("ana", True, True, False, 0),
        ("ana", False, False, True, 1),
        ("sol", True, True, False, 0),
        ("zoe", False, False, True, 0),
    ]


# described: the person


def test_name_and_places_are_the_earliest_non_empty_ones() -> None:
    given = [
        person("ana", "CONVERSATION#3", "2025-09-03", nombre="Tarde", gerencia="Tarde", ciudad="Tarde"),
        person("ana", "CONVERSATION#1", "2025-09-01", nombre=" ", gerencia=None, ciudad="Tunja"),
        person("ana", "CONVERSATION#2", "2025-09-02", nombre=" Ana \n", gerencia="Legal", ciudad="Cali"),
        person("ana", "CONVERSATION#0", "sin fecha", nombre="Última", gerencia="Última", ciudad="Última"),
        conversation("ana", "REGISTER#1", CreatedAt="2025-01-01", UserData={"nombre": "Registro"}),
        feedback("ana", "FEEDBACK#1", CreatedAt="2025-01-01", UserData={"nombre": "Opinión"}),
        person("eva", nombre="Eva", gerencia="(solo ruido)", ciudad=""),
    ]
    assert places(*given) == {("ana", "Ana", "Legal", "Tunja"), ("eva", "Eva", "Sin lugar", "Sin lugar")}


def test_places_stand_in_for_each_other_and_labels_for_what_stays_empty() -> None:
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
    assert places(*given) == {
        ("gerencia", "Nadie", "Legal", "Legal"),
        ("later", "Nadie", "Legal", "Tunja"),
        ("ciudad", "Nadie", "Tunja", "Tunja"),
        ("none", "Nadie", "Sin lugar", "Sin lugar"),
        ("text", "Ana", "Chía", "Chía"),
        ("blank", "Nadie", "Sin lugar", "Sin lugar"),
    }


def test_the_labels_of_prod_are_those_of_the_spec() -> None:
    assert (PROD.unnamed_user, PROD.unknown_place) == ("Usuario Anónimo", "Bogotá")


def test_trailing_parentheses_are_noise_in_places_and_never_in_a_person() -> None:
    given = person("ana", nombre="Ana (GIC)", gerencia="Legal (GJ)", ciudad="Chía (CO)(1)")
    assert places(given) == {("ana", "Ana (GIC)", "Legal", "Chía")}


# described: conversations


def test_first_conversation_is_the_earliest_utc_day_and_empty_without_dates() -> None:
    given = [
        conversation("ana", "CONVERSATION#1", CreatedAt="2025-09-30T20:00:00-05:00"),
        conversation("ana", "CONVERSATION#2", CreatedAt="2025-10-02"),
        conversation("ana", "CONVERSATION#3", CreatedAt="ayer"),
        feedback("ana", CreatedAt="2025-01-01"),
        conversation("eva", CreatedAt="ayer"),
    ]
    assert values("fecha_primera_conversacion", *given) == {"ana": "01/10/2025", "eva": None}
    assert values("numero_conversaciones", *given) == {"ana": 3, "eva": 1}
    assert only("fecha_primera_conversacion", conversation(CreatedAt="0099-02-01")) == "01/02/0099"
    assert only("fecha_primera_conversacion", conversation(CreatedAt="1969-12-31T23:59:59")) == "31/12/1969"


def test_all_messages_are_in_order_with_their_conversation_and_speaker() -> None:
    senders = ["user", " USER ", "Usuario", "bot", "ASSISTANT", "\tCatia\n", "system", " Asesor Humano ", None]
    given = [
        conversation(
            sort_key="CONVERSATION#2", CreatedAt="2025-09-01", Conversation=[message(each, "hola") for each in senders]
        ),
        conversation(sort_key="conversation#1", CreatedAt="2025-09-02", Conversation='[{"from": "CATIA"}]'),
        conversation(sort_key="CONVERSATION#0", CreatedAt="2025-09-03", Conversation=None),
    ]
    text = only("conversacion_completa", *given)
    names = ["user", "user", "user", "bot", "bot", "bot", "system", " Asesor Humano ", None]
    base = {"conversacion": "CONVERSATION#2", "from": "user", "text": "hola", "timestamp": "2025-09-01T15:00:00Z"}
    last = {"conversacion": "conversation#1", "from": "bot", "text": None, "timestamp": None}
    assert json.loads(text) == [*({**base, "from": name} for name in names), last]
    assert text.startswith(
        '[{"conversacion":"CONVERSATION#2","from":"user","text":"hola","timestamp":"2025-09-01T15:00:00Z"},'
    )


def test_a_user_without_messages_has_an_empty_array() -> None:
    assert only("conversacion_completa", conversation(Conversation="null")) == "[]"


def test_questions_are_the_users_distinct_texts_verbatim_in_order() -> None:
    texts = ["b ", "a", " \t\n", None, "", "b", "b ", "A", "x | y", 'user: "hola"\r\n🙂\x00fin', "\u3000", "a"]
    talk = [*said(*texts), message("bot", "respuesta"), message("system", "regla"), message(" Usuario ", "fin")]
    given = [
        conversation(sort_key="CONVERSATION#2", CreatedAt="2025-09-02", Conversation=said("a", "tarde")),
        conversation(sort_key="CONVERSATION#1", CreatedAt="2025-09-01", Conversation=talk),
    ]
    assert only("pregunta_conversacion", *given) == " | ".join(
        ["b ", "a", "b", "A", "x | y", 'user: "hola"\r\n🙂\x00fin', "fin", "tarde"]
    )


def test_texts_come_whole_into_the_array_of_messages() -> None:
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
    found = json.loads(only("conversacion_completa", conversation(Conversation=said(*texts))))
    assert [each["text"] for each in found] == texts


# described: feedback


def test_feedback_is_like_dislike_mixed_or_nothing_and_counts_likes_and_dislikes() -> None:
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
    found = {(user, row["numero_feedback"], row["feedback"]) for user, row in described(*given).items()}
    assert found == {
        ("like", 2, "like"),
        ("dislike", 1, "dislike"),
        ("mixed", 3, "mixed"),
        ("other", 0, None),
        ("none", 0, None),
    }


def test_answers_are_comments_then_options_trimmed_and_distinct_over_both() -> None:
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
    assert values("respuesta_feedback", *given) == {"ana": "Otra | bien | a | b\nc | Clara | Bien", "eva": ""}


def test_feedback_total_is_the_raw_feedback_in_order_with_all_digits() -> None:
    digits = "98765432109876543210987654321098765432"
    exotic = Exact({"M": {"n": {"N": digits}, "s": {"NS": ["1", "2.50"]}, "b": {"B": "AP8="}, "t": {"S": 'á"\n'}}})
    given = [
        conversation("ana"),
        feedback("ana", "FEEDBACK#c", CreatedAt="ayer", Feedback=f'{{"id": {digits}, "type": "like"}}'),
        feedback("ana", "FEEDBACK#b", CreatedAt="2025-09-02", Feedback=exotic),
        feedback("ana", "FEEDBACK#a", CreatedAt="2025-09-02", Feedback=[{"type": "like"}, None, {}]),
        conversation("eva"),
    ]
    assert values("feedback_total", *given) == {
        "ana": f'[{{"type":"like"}},{{}},{{"n":{digits},"s":[1,2.50],"b":"AP8=","t":"á\\"\\n"}},'
        f'{{"id":{digits},"type":"like"}}]',
        "eva": "[]",
    }


def test_a_feedback_on_a_conversation_counts_at_the_conversations_own_time() -> None:
    given = [
        conversation("ana", CreatedAt="2025-09-02", Feedback={"type": "dislike", "comment": "mal"}),
        feedback("ana", CreatedAt="2025-09-01"),
    ]
    row = described(*given)["ana"]
    assert (row["numero_feedback"], row["feedback"], row["numero_conversaciones"]) == (2, "mixed", 1)
    assert row["feedback_total"] == '[{"type":"like"},{"type":"dislike","comment":"mal"}]'


def test_feedback_is_joined_to_its_own_user_only() -> None:
    given = [conversation("ana"), conversation("eva"), feedback("eva")]
    assert values("feedback", *given) == {"ana": None, "eva": "like"}


def test_a_user_whose_texts_no_row_can_hold_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [conversation("ana", f"CONVERSATION#{number}", Conversation=said("x" * 100)) for number in range(3)]
    monkeypatch.setattr(users, "MOST_BYTES", 2_000)
    assert only("numero_conversaciones", *given) == 3
    monkeypatch.setattr(users, "MOST_BYTES", 200)
    with pytest.raises(StoreError, match=r"^the user 'ana' has conversations of more than 200 bytes"):
        described(*given)


# user_outcome


def test_a_user_without_conversation_is_left_out_before_any_city_is_asked() -> None:
    rows = pa.RecordBatch.from_pydict({"conversation_items": [1, 1, 0], "ciudad": ["Bogotá", "CALI", "Cali"]})
    assert users.user_outcome(rows, "cali").to_pylist() == ["kept", "excluded_city", "feedback_without_conversation"]
    assert users.user_outcome(rows, None).to_pylist() == ["kept", "kept", "feedback_without_conversation"]


def test_the_city_that_counts_is_the_users_final_one() -> None:
    given = [
        # The department stands in, and so excludes; an excluded department beside a kept city does not.
        person("stand-in", gerencia="Sede Cali"),
        person("department", gerencia="Sede Cali", ciudad="Tunja"),
        person("moved-away", "CONVERSATION#1", "2025-09-01", ciudad="Tunja"),
        person("moved-away", "CONVERSATION#2", "2025-09-02", ciudad="Cali"),
        # The label of an unknown city counts as well.
        conversation("nowhere", UserData=None),
    ]
    assert values("ciudad", *given) == {
        "stand-in": "Sede Cali",
        "department": "Tunja",
        "moved-away": "Tunja",
        "nowhere": "Sin lugar",
    }

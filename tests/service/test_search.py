"""The record, found by words and time, in SQLite and in Postgres."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hermes_stream.service.events import NewEvent
from hermes_stream.service.search import Search, snippet_of
from hermes_stream.service.search_words import SearchWords
from hermes_stream.service.store import Store


@pytest.fixture
def filled(store):
    """A record of two streams."""
    door = store.streams.add("door", options={}, owner=None, wall_seconds=1.0)
    yard = store.streams.add("yard", options={}, owner=None, wall_seconds=1.0)
    told = [
        (door, "answered", 10.0, {"question": "what is there?", "answer": "A red car.", "ttft_seconds": 1}),
        (yard, "described", 20.0, {"value": "two red cars and a dog", "score": 0.5}),
        (door, "alert_raised", 30.0, {"question": "is a person at the door-2?", "value": "yes"}),
        (door, "gap", 40.0, {"seconds": 3.0}),
        (yard, "described", 50.0, {"value": "Türen: 0.5 m, a\0b \ud800, car's red"}),
    ]
    for row, kind, at, payload in told:
        store.tell(
            NewEvent(
                kind=kind,
                stream_id=row.id,
                epoch=1,
                pts_seconds=at,
                wall_seconds=at,
                payload=payload,
                picture=f"p{at}" if kind == "described" else None,
            )
        )
    store.writer.write(lambda connection: None)
    return store, door, yard


def found(store: Store, words: str = "", **chosen) -> list[float]:
    return [one.event.wall_seconds for one in Search(store.database).find(words, **chosen).results]


def test_words_find_what_begins_with_them_and_quotes_what_stands_there(filled):
    store, *_ = filled
    assert found(store, "red car") == [50, 20, 10]
    assert found(store, '"red car"') == [10]
    assert found(store, '"red cars" dog') == [20]
    assert found(store, "RED -dog") == [50, 10]
    assert found(store, "türen") == [50]
    assert found(store, "0.5") == [50]
    assert found(store, "door-2") == [30]
    assert found(store, "nothing") == []
    # without words all that has a text; a gap has none
    assert found(store) == [50, 30, 20, 10]


def test_results_are_chosen_by_stream_kind_and_time_and_come_in_pages(filled):
    store, door, _ = filled
    assert found(store, "red", stream_id=door.id) == [10]
    assert found(store, "red", kinds=["described"]) == [50, 20]
    assert found(store, "red", since=20.0, until=50.0) == [20]
    first = Search(store.database).find("red", limit=2)
    assert [one.event.wall_seconds for one in first.results] == [50, 20]
    second = Search(store.database).find("red", limit=2, before=first.next_before)
    assert [one.event.wall_seconds for one in second.results] == [10]
    assert second.next_before is None
    assert first.results[1].event.picture == "p20.0"
    assert first.results[1].event.stream == "yard"


def test_what_is_deleted_is_not_found_any_more(filled):
    store, _, yard = filled
    store.streams.remove(yard.id)
    assert found(store, "red") == [10]
    store.writer.write(lambda connection: connection.execute(text("DELETE FROM events")).close())
    assert found(store, "red") == []
    if store.database.is_sqlite:
        with store.database.reading() as connection:
            # the index itself is empty, and agrees with the table
            rows = connection.execute(text("SELECT count(*) FROM event_words WHERE event_words MATCH 'red'"))
            assert rows.scalar() == 0
        check = text("INSERT INTO event_words(event_words, rank) VALUES ('integrity-check', 1)")
        store.writer.write(lambda connection: connection.execute(check).close())


def test_postgres_uses_its_index(filled):
    store, *_ = filled
    if store.database.is_sqlite:
        pytest.skip("of Postgres")
    with store.database.reading() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        defined = connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'event_words'")
        ).scalar()
        expression = defined.partition("gin (")[2].rpartition(")")[0]
        plan = connection.execute(
            text(f"EXPLAIN SELECT id FROM events WHERE {expression} @@ to_tsquery('simple', 'red')")
        ).scalars()
        assert "event_words" in "\n".join(plan)


@pytest.mark.parametrize("words", ["...", '""', "-red", "x" * 1001, "a " * 40])
def test_what_cannot_be_looked_for_is_refused(store, words):
    with pytest.raises(ValueError, match=r"word|characters"):
        Search(store.database).find(words)
    with pytest.raises(ValueError, match="limit"):
        Search(store.database).find("a", limit=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40) | st.sampled_from(["a OR b", "NEAR(a b)", "a:b", "(", "a*", "'", '"a', "text:a"]))
def test_no_line_of_text_breaks_a_search(filled, words):
    store, *_ = filled
    with suppress(ValueError):  # refused, and nothing else
        Search(store.database).find(words)


def test_a_snippet_shows_the_words_with_their_places():
    whole = "something " * 30 + "and then a Red car, red"
    snippet = snippet_of(whole, SearchWords.read('red "a red car"').terms)
    assert [snippet.text[start:end] for start, end in snippet.marks] == ["a Red car", "red"]
    assert snippet_of("a car", SearchWords.read("").terms).marks == ()


def test_a_page_that_is_full_may_be_the_last(filled):
    store, *_ = filled
    page = Search(store.database).find("red", limit=3)
    assert (len(page.results), page.next_before) == (3, None)


def test_what_belongs_to_no_stream_is_found_too(filled):
    store, *_ = filled
    store.tell(NewEvent(kind="described", wall_seconds=60.0, payload={"value": "a red lamp"}))
    store.writer.write(lambda connection: None)
    assert found(store, "red lamp") == [60]


def test_as_much_can_be_looked_for_as_is_said(store):
    assert Search(store.database).find("x" * 1000, limit=1000).results == ()
    assert len(SearchWords.read(" ".join(f"word{k}" for k in range(32))).terms) == 32


def test_all_that_is_left_out_is_left_out_and_a_quote_may_stay_open(filled):
    store, *_ = filled
    assert found(store, "red -dog -answer -answered -türen") == [10]
    assert found(store, '"red car') == [10]


def test_a_snippet_begins_shortly_before_the_words_and_ends_in_time():
    whole = " ".join(f"word{k:03d}" for k in range(100))
    snippet = snippet_of(whole, SearchWords.read("word050").terms)
    (start, end), *_ = snippet.marks
    assert snippet.text[start:end] == "word050"
    assert snippet.text.startswith("word043 ")
    assert len(snippet.text) == 240
    cut = snippet_of("a " + "x" * 500, SearchWords.read("x").terms)
    assert cut.marks == ((2, 240),)


def test_only_what_is_looked_for_is_marked():
    snippet = snippet_of("bored cars, red cars, a dog", SearchWords.read('red "red car" -dog').terms)
    assert [snippet.text[start:end] for start, end in snippet.marks] == ["red"]
    quoted = snippet_of("red cars, a red car", SearchWords.read('"red car"').terms)
    assert quoted.marks == ((12, 19),), "a quote is no beginning of a longer word"

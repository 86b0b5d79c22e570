"""Shortcuts mean what the engine means, functions keep "not asked" apart from "no", and limits hold."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.mappings.expressions import (
    Compiled,
    ExpressionError,
    Limits,
    Together,
    compile_expression,
    engine_only,
    first_of,
    second_engine,
)
from connector.mappings.fact_functions import functions

FAST = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

# ---------------------------------------------------------------- generated expressions and documents

NAMES = ("a", "b", "c")
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.sampled_from([0.5, 2.5, 12.0]),
    st.sampled_from(["", "yes", "no", "oui", "x", "act", "x act", "12", "1,5", "2026-07-31", "31/07/2026", "é"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)

paths = st.lists(st.sampled_from([*NAMES, "`b`"]), min_size=1, max_size=4).map(".".join)
literals = st.sampled_from(["true", "false", "null", "0", "12", "1.5", "'x'", "'act'", '"yes"', "''"])
lists_of_literals = st.sampled_from(["['x', 'act']", "[1, 12]", "['x']"])
calls = st.one_of(
    st.builds("${}({})".format, st.sampled_from(["yes", "num", "options", "unknown", "day", "exists", "count"]), paths),
    st.builds("$chosen({}, '{}')".format, paths, st.sampled_from(["x", "act"])),
)
atoms = st.one_of(paths, literals, calls)
comparisons = st.one_of(
    st.builds("{} {} {}".format, atoms, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), atoms),
    st.builds("{} in {}".format, atoms, st.one_of(lists_of_literals, paths, calls)),
)
conditions = st.recursive(
    st.one_of(comparisons, atoms),
    lambda inner: st.one_of(
        st.builds("{} and {}".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("({}) = {}".format, inner, literals),
        st.builds("$not({})".format, comparisons),
        st.builds("({}) ? {} : {}".format, inner, inner, inner),
        st.builds("{} ? {}".format, atoms, inner),
        st.builds("$yes({})".format, inner),
    ),
    max_leaves=5,
)


def answer(expression: Any, document: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "value", comparable(expression(document))
    except ExpressionError:
        return "failed", None


def comparable(value: Any) -> Any:
    """Types told apart as JSON does: true is not 1, 2.0 is 2."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items()}
    return value


@FAST
@given(conditions, documents)
def test_a_shortcut_means_what_the_engine_means(text: str, document: dict[str, Any]) -> None:
    quick = compile_expression(text)
    assert answer(quick, document) == answer(engine_only(text), document), text


@FAST
@given(paths, documents)
def test_paths_through_lists_mean_what_the_engine_means(text: str, document: dict[str, Any]) -> None:
    quick = compile_expression(text)
    assert quick.shortcut is not None
    assert answer(quick, document) == answer(engine_only(text), document), text


@pytest.mark.parametrize("text", ["a", "a.b", "a.b.c", "a.b.c.d", "a = 'x'", "a = true", "a in ['x']", "a.b.c > 1"])
@pytest.mark.parametrize("document", [[], [{"a": "x"}, 3], [{"a": {"b": {"c": 2}}}], [[{"a": True}]], "a", 3, None])
def test_a_shortcut_means_the_same_of_what_is_no_group(text: str, document: Any) -> None:
    assert answer(compile_expression(text), document) == answer(engine_only(text), document)


@settings(FAST, max_examples=100)
@given(st.dictionaries(st.sampled_from("pqrst"), st.one_of(conditions, atoms), max_size=5), documents)
def test_together_gives_what_each_gives_alone(texts: dict[str, str], document: dict[str, Any]) -> None:
    compiled = {name: compile_expression(text) for name, text in texts.items()}
    values, failed = Together(compiled).evaluate(document)
    for name, one in compiled.items():
        kind, value = answer(one, document)
        assert (name in failed) == (kind == "failed")
        assert comparable(values.get(name)) == (value if kind == "value" else "None")


def test_most_expressions_of_the_generator_do_take_the_shortcut() -> None:
    texts = ["a.b = 'x' and $unknown(c)", "a in ['x']", "$yes(a) ? b : c", "$not($exists(a))", "$count(a.b) > 0"]
    assert all(compile_expression(text).shortcut for text in texts)


@pytest.mark.parametrize(
    "text",
    ["$not(a)", "a & 'x'", "a + 1", "a[0]", "a.*", "$sum(a)", "($x := 1; $x)", "a[b = 1].c", "{'k': a}", "-1 < a"],
)
def test_what_is_not_everyday_runs_in_the_engine(text: str) -> None:
    """A shortcut for these would have to be proved first."""
    assert compile_expression(text).shortcut is None


# ---------------------------------------------------------------- the functions


@pytest.mark.parametrize(
    ("text", "document", "wanted"),
    [
        ("$yes(a)", {"a": "yes"}, True),
        ("$yes(a)", {"a": " Oui "}, True),
        ("$yes(a)", {"a": 1}, True),
        ("$yes(a)", {"a": "true"}, True),
        ("$yes(a)", {"a": "no"}, False),
        ("$yes(a)", {"a": "non"}, False),
        ("$yes(a)", {"a": False}, False),
        ("$yes(a)", {"a": 0}, False),
        ("$yes(a)", {}, None),
        ("$yes(a)", {"a": None}, None),
        ("$yes(a)", {"a": ""}, None),
        ("$num(a)", {"a": "12"}, 12),
        ("$num(a)", {"a": "12,0"}, 12),
        ("$num(a)", {"a": "1,5"}, 1.5),
        ("$num(a)", {"a": "1.5"}, 1.5),
        ("$num(a)", {"a": " 12 500 "}, 12500),
        ("$num(a)", {"a": "12\u202f500"}, 12500),
        ("$num(a)", {"a": "-3"}, -3),
        ("$num(a)", {"a": 0}, 0),
        ("$num(a)", {"a": 38.0}, 38),
        ("$num(a)", {"a": ""}, None),
        ("$num(a)", {}, None),
        ("$options(a)", {"a": "x y  x"}, ["x", "y"]),
        ("$options(a)", {"a": ["x", "y "]}, ["x", "y"]),
        ("$options(a)", {"a": ""}, []),
        ("$options(a)", {"a": []}, []),
        ("$options(a)", {}, None),
        ("$chosen(a, 'y')", {"a": "x y"}, True),
        ("$chosen(a, 'y')", {"a": ["x"]}, False),
        ("$chosen(a, 'y')", {"a": ""}, False),
        ("$chosen(a, 'y')", {}, None),
        ("$unknown(a)", {}, True),
        ("$unknown(a)", {"a": None}, True),
        ("$unknown(a)", {"a": False}, False),
        ("$unknown(a)", {"a": ""}, False),
        ("$day(a)", {"a": "2026-07-31"}, "2026-07-31"),
        ("$day(a)", {"a": "31/07/2026"}, "2026-07-31"),
        ("$day(a)", {"a": "2026-07-31T23:30:00Z"}, "2026-07-31"),
        ("$day(a)", {"a": 1785540600000}, "2026-07-31"),
        ("$day(a)", {"a": "1785540600000"}, "2026-07-31"),
        ("$day(a, 'Africa/Nairobi')", {"a": 1785540600000}, "2026-08-01"),
        ("$day(a, 'Africa/Nairobi')", {"a": "2026-07-31T23:30:00Z"}, "2026-08-01"),
        ("$day(a, 'Africa/Nairobi')", {"a": "2026-07-31"}, "2026-07-31"),
        ("$day(a)", {"a": ""}, None),
        ("$day(a)", {}, None),
    ],
)
def test_functions_in_every_engine(text: str, document: dict[str, Any], wanted: Any) -> None:
    for run in (compile_expression(text), engine_only(text), second_engine(text)):
        assert comparable(run(document)) == comparable(wanted)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$yes(a)", "peut-être"),
        ("$yes(a)", 2),
        ("$yes(a)", ["yes"]),
        ("$num(a)", "deux"),
        ("$num(a)", "1.234,5"),
        ("$num(a)", "1e9"),
        ("$num(a)", "nan"),
        ("$num(a)", True),
        ("$num(a)", [1]),
        ("$num(a)", "9" * 40),
        ("$options(a)", 5),
        ("$options(a)", [1]),
        ("$day(a)", "hier"),
        ("$day(a)", "2026-02-30"),
        ("$day(a)", "99/99/2026"),
        ("$day(a)", "0026-07-31"),
        ("$day(a)", True),
        ("$day(a)", 10**18),
        ("$day(a)", "2026-07-31T99:00:00Z"),
        ("$day(a)", "0001-01-01T00:00:00+14:00"),
        ("$day(a)", "9999-12-31T23:59:59-12:00"),
    ],
)
def test_what_cannot_be_read_fails_without_naming_the_value(text: str, value: Any) -> None:
    for run in (compile_expression(text), engine_only(text), second_engine(text)):
        with pytest.raises(ExpressionError) as failure:
            run({"a": value})
        assert run is not None and (str(value) not in str(failure.value) or len(str(value)) < 3)


def test_the_day_is_counted_in_the_zone_of_the_pack() -> None:
    """23:30 in Bamako on the last of the month is the first of the next in Nairobi."""
    late = {"a": 1785540600000}
    assert compile_expression("$day(a)", zone="Africa/Bamako")(late) == "2026-07-31"
    assert compile_expression("$day(a)", zone="Africa/Nairobi")(late) == "2026-08-01"
    assert compile_expression("$day(a)", zone="Europe/Paris")(late) == "2026-08-01"


def test_comparisons_with_what_was_not_asked_do_not_count() -> None:
    """ "Not asked" is absent, never "no"."""
    for text in ("a = false", "a != true", "a < 5", "a >= 5", "a in ['x']", "'x' in a"):
        assert not compile_expression(text).truth({})
        assert not engine_only(text).truth({})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([False, True], True),
        ([0, ""], False),
        ([], False),
        ([[True]], True),
        ([0, [1]], True),
        ({}, False),
        ({"x": 0}, True),
        (0, False),
        (0.5, True),
        ("", False),
        ("no", True),
        (None, False),
    ],
)
def test_what_counts_as_true(value: Any, wanted: bool) -> None:
    """JSONata's ``$boolean``, in both."""
    assert compile_expression("a or b")({"a": value}) is wanted
    assert engine_only("a or b")({"a": value}) is wanted
    assert compile_expression("a").truth({"a": value}) is wanted


def test_first_of_takes_the_first_answer() -> None:
    either = first_of([compile_expression("a"), compile_expression("b")])
    assert either({"a": "", "b": 2}) == 2
    assert either({"a": 0, "b": 2}) == 0
    assert either({}) is None


# ---------------------------------------------------------------- limits, purity, errors


@pytest.mark.parametrize("text", ["$now()", "$millis() > 0", "$random()", "$eval('1')", "$shuffle([1,2])"])
def test_an_expression_is_pure(text: str) -> None:
    with pytest.raises(ExpressionError, match="not allowed"):
        compile_expression(text)


def test_syntax_errors_say_where() -> None:
    with pytest.raises(ExpressionError, match="character"):
        compile_expression("a and (b")


def test_an_expression_has_a_longest_text() -> None:
    with pytest.raises(ExpressionError, match="longer"):
        compile_expression("a" * 5000)


@pytest.mark.parametrize(
    "text",
    [
        "($f := function($n){$f($n + 1) + 1}; $f(0))",
        "($f := function($n){$f($n + 1)}; $f(0))",
        "$count([1..9000000])",
        "$join($map([1..99999], function($i){'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'}))",
    ],
)
def test_limits_are_always_on(text: str) -> None:
    begin = time.process_time()  # our own work, whatever else the machine does
    with pytest.raises(ExpressionError):
        compile_expression(text, limits=Limits(seconds=0.3))({})
    assert time.process_time() - begin < 10


def test_a_failing_expression_costs_only_itself() -> None:
    together = Together(
        {
            "good": compile_expression("$uppercase(a)"),
            "bad": compile_expression("$uppercase(b)"),
            "absent": compile_expression("$lowercase(c)"),
        }
    )
    values, failed = together.evaluate({"a": "x", "b": 5})
    assert values == {"good": "X"}
    assert list(failed) == ["bad"]
    assert together.evaluate({"a": "x", "b": "y"}) == ({"good": "X", "bad": "Y"}, {})


def test_explain_names_the_comparison_that_failed() -> None:
    steps = compile_expression("muac_mm < 115 or oedema = true").explain({"muac_mm": 120})
    assert any("120 < 115" in step.replace("  ", " ") for step in steps), steps


def test_every_function_takes_absent() -> None:
    for name, function in functions("UTC").items():
        assert function(None) in (None, True), name


def test_numbers_stay_finite() -> None:
    assert math.isfinite(compile_expression("$num(a)")({"a": "9" * 15}))
    assert isinstance(compile_expression("a"), Compiled)


def test_a_path_that_is_not_there_is_in_no_list() -> None:
    for text in ("a in ['x']", "'x' in a", "a in b"):
        assert compile_expression(text)({}) is False, text


@pytest.mark.parametrize(
    ("text", "at"), [("a b", 2), ("a and", 5), ("a = ) b", 4), ("1.2.3", 0), ("'abc", 0), ("$yes(a) $no(b)", 8)]
)
def test_a_mistake_is_told_at_the_character_it_begins_with(text: str, at: int) -> None:
    with pytest.raises(ExpressionError) as told:
        compile_expression(text)
    assert told.value.position == at

"""What may be decorated, and what the decorators refuse."""

from __future__ import annotations

import asyncio
import functools
import sys
from datetime import timedelta

import pytest

from nbflow import flow, task
from nbflow.errors import InvalidOption, ReservedParameter, UnknownOption
from nbflow.flows import Flow
from nbflow.tasks import Task

BOTH = pytest.mark.parametrize("decorator", [flow, task], ids=["flow", "task"])


# --- what can be decorated ----------------------------------------------------------------------


@BOTH
def test_bare_and_called_decorator_give_the_same(decorator):
    def double(x):
        """Twice as much."""
        return 2 * x

    bare, called, named = decorator(double), decorator()(double), decorator(name="n")(double)

    assert bare(2) == called(2) == named(2) == 4
    assert (bare.name, called.name, named.name) == ("double", "double", "n")
    assert bare.description == "Twice as much."
    assert bare.__name__ == "double"
    assert bare.fn is double


@BOTH
def test_coroutine_function_is_awaited(decorator):
    @decorator
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    assert asyncio.run(double(4)) == 8


@BOTH
def test_generator_streams_its_items_and_returns_its_value(decorator, events):
    seen = []

    @decorator(name="g")
    def count(n):
        for i in range(n):
            seen.append(i)
            yield i
        return "end"

    items = count(3)

    assert next(items) == 0
    assert seen == [0]
    assert list(items) == [1, 2]
    assert events.names()[-2:] == ["Running", "Completed"]
    assert events.runs()[0].state.result() == "end"


@BOTH
def test_generator_takes_what_is_sent_and_thrown(decorator):
    @decorator
    def echo():
        said = yield "ready"
        try:
            yield said
        except KeyError as error:
            yield repr(error)

    items = echo()

    assert next(items) == "ready"
    assert items.send("hello") == "hello"
    assert items.throw(KeyError("k")) == "KeyError('k')"


@BOTH
def test_async_generator_streams_its_items(decorator, events):
    @decorator
    async def count(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    async def collect():
        return [item async for item in count(3)]

    assert asyncio.run(collect()) == [0, 1, 2]
    assert events.names() == ["Running", "Completed"]


@BOTH
def test_generator_that_raises_fails_with_the_same_exception(decorator, events):
    error = ValueError("half way")

    @decorator
    def broken():
        yield 1
        raise error

    items = broken()
    assert next(items) == 1
    with pytest.raises(ValueError) as caught:
        next(items)

    assert caught.value is error
    assert events.names()[-1] == "Failed"


@BOTH
def test_callable_object_is_called(decorator):
    class Adder:
        def __init__(self, n):
            self.n = n
            self.name = "an attribute that must not leak into the task"
            self.submit = "neither must this"

        def __call__(self, x):
            return x + self.n

    add = decorator(Adder(3))

    assert add(1) == 4
    assert add.name == "Adder"
    assert add.with_options(name="plus")(1) == 4
    assert callable(add.with_options)


@BOTH
def test_async_callable_object_is_awaited(decorator):
    class Adder:
        async def __call__(self, x):
            return x + 1

    assert asyncio.run(decorator(Adder())(1)) == 2


@BOTH
def test_partial_and_lambda_and_builtin_are_called(decorator):
    assert decorator(functools.partial(pow, 2))(5) == 32
    assert decorator(lambda x: x + 1)(1) == 2
    assert decorator(len)([1, 2]) == 2
    assert decorator(functools.partial(pow, 2)).name == "pow"


class Shop:
    rate = 2

    def __init__(self, price):
        self.price = price

    @task
    def plain(self, n):
        return self.price * n

    @task(name="named")
    def options(self, n):
        return self.price * n

    @classmethod
    @task
    def class_outside(cls, n):
        return cls.rate * n

    @task
    @classmethod
    def class_inside(cls, n):
        return cls.rate * n

    @staticmethod
    @task
    def static_outside(n):
        return -n

    @task
    @staticmethod
    def static_inside(n):
        return -n

    @flow
    def total(self, n):
        return self.plain(n) + self.plain.submit(n).result()

    @task
    async def later(self, n):
        return self.price * n


class Sale(Shop):
    rate = 1


def test_method_gets_its_object():
    assert Shop(3).plain(2) == 6
    assert Shop(3).options(2) == 6
    assert Shop(3).plain.submit(2).result() == 6
    assert Shop(3).plain.map([1, 2]).result() == [3, 6]
    assert Shop.plain(Shop(3), 2) == 6
    assert Shop(3).total(2) == 12
    assert asyncio.run(Shop(3).later(2)) == 6


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "class_outside",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 13),
                reason="from 3.13 on @classmethod hides what is inside: write @task above it",
            ),
        ),
        "class_inside",
    ],
)
def test_classmethod_gets_its_class_in_both_orders(name):
    for holder, expected in ((Shop, 4), (Shop(1), 4), (Sale, 2), (Sale(1), 2)):
        assert getattr(holder, name)(2) == expected
        assert getattr(holder, name).submit(2).result() == expected
        assert getattr(holder, name).map([2]).result() == [expected]


@pytest.mark.parametrize("name", ["static_outside", "static_inside"])
def test_staticmethod_gets_nothing_in_both_orders(name):
    for holder in (Shop, Shop(1)):
        assert getattr(holder, name)(2) == -2
        assert getattr(holder, name).submit(2).result() == -2


def test_two_objects_methods_do_not_mix():
    first, second = Shop(1).plain, Shop(10).plain

    assert (first(1), second(1)) == (1, 10)
    assert first.with_options(retries=2)(1) == 1
    assert first.with_options(retries=2).retries == 2


@BOTH
def test_fn_is_the_function_without_any_tracking(decorator, events):
    @decorator
    def double(x):
        return 2 * x

    assert double.fn(3) == 6
    assert events.all == []


# --- options ------------------------------------------------------------------------------------


@BOTH
def test_with_options_changes_only_what_is_named(decorator):
    def hook(*_):
        pass

    base = decorator(name="base", retries=2, tags=["t"], on_failure=[hook])(lambda: 1)
    other = base.with_options(name="other", retries=0)

    assert (base.name, base.retries) == ("base", 2)
    assert (other.name, other.retries) == ("other", 0)
    assert other.tags == {"t"}
    assert other.spec.hooks.on_failure == (hook,)
    assert other.spec.owner is other
    assert other.fn is base.fn


@BOTH
def test_with_options_keeps_hooks_added_by_decorator(decorator):
    base = decorator(lambda: 1)

    @base.on_completion
    def hook(*_):
        pass

    assert base.with_options(retries=1).spec.hooks.on_completion == (hook,)


@BOTH
def test_with_options_refuses_an_unknown_option_with_advice(decorator):
    with pytest.raises(UnknownOption, match="did you mean 'retries'"):
        decorator(lambda: 1).with_options(retrys=1)


@BOTH
def test_unknown_option_names_the_one_that_was_meant(decorator):
    with pytest.raises(UnknownOption, match=r"no option 'retry'; did you mean 'retries'"):
        decorator(retry=3)
    with pytest.raises(UnknownOption, match=r"it takes .*timeout_seconds"):
        decorator(qqqqqq=3)
    with pytest.raises(TypeError):
        decorator(lambda: 1, retry=3)


BAD_FOR_BOTH = [
    ("name", 1, "a string"),
    ("description", 1, "a string"),
    ("version", 1.0, "a string"),
    ("tags", "abc", "a list of strings"),
    ("tags", 5, "a list of strings"),
    ("tags", [1], "a list of strings"),
    ("tags", [[]], "a list of strings"),
    ("retries", -1, "a whole number"),
    ("retries", 1.5, "a whole number"),
    ("retries", "3", "a whole number"),
    ("retries", True, "a whole number"),
    ("retry_delay_seconds", -1, "a number of seconds"),
    ("retry_delay_seconds", "10", "a number of seconds"),
    ("retry_delay_seconds", [1, "x"], "a number of seconds"),
    ("retry_delay_seconds", float("nan"), "a number of seconds"),
    ("retry_delay_seconds", float("inf"), "a number of seconds"),
    ("timeout_seconds", 0, "above 0"),
    ("timeout_seconds", -3, "above 0"),
    ("timeout_seconds", "30", "above 0"),
    ("timeout_seconds", True, "above 0"),
    ("timeout_seconds", float("nan"), "above 0"),
    ("timeout_seconds", float("inf"), "above 0"),
    ("log_prints", "yes", "True or False"),
    ("persist_result", 1, "True or False"),
    ("on_running", print, r"a list: on_running=\[print\]"),
    ("on_completion", [1], "a list of functions"),
    ("on_failure", "hook", "a list of functions"),
]
BAD_FOR_TASKS = [
    ("task_run_name", 3, "a template"),
    ("retry_jitter_factor", -1, "a number from 0"),
    ("retry_jitter_factor", "x", "a number from 0"),
    ("retry_condition_fn", 3, "a function of"),
    ("cache_policy", "INPUTS", "a policy of nbflow.cache_policies"),
    ("cache_key_fn", "key", "a function of"),
    ("cache_expiration", 60, "a datetime.timedelta"),
    ("cache_expiration", timedelta(seconds=-1), "a datetime.timedelta"),
    ("refresh_cache", "no", "True or False"),
    ("result_storage_key", 7, "a string"),
    ("result_serializer", "xml", "one of"),
    ("result_serializer", 3, "a serializer"),
    ("cache_result_in_memory", 3, "True or False"),
    ("on_commit", [None], "a list of functions"),
    ("on_rollback", print, r"a list: on_rollback=\[print\]"),
]
BAD_FOR_FLOWS = [
    ("flow_run_name", 3, "a template"),
    ("validate_parameters", "no", "True or False"),
    ("task_runner", "threads", "a runner such as"),
    ("on_cancellation", [1], "a list of functions"),
    ("on_crashed", [1], "a list of functions"),
]


@pytest.mark.parametrize(
    ("decorator", "option", "value", "takes"),
    [(decorator, *case) for decorator in (flow, task) for case in BAD_FOR_BOTH]
    + [(task, *case) for case in BAD_FOR_TASKS]
    + [(flow, *case) for case in BAD_FOR_FLOWS],
)
def test_bad_option_is_refused_where_it_is_written(decorator, option, value, takes):
    def f():
        pass

    with pytest.raises(InvalidOption, match=takes) as caught:
        decorator(**{option: value})(f)

    assert option in str(caught.value)
    assert isinstance(caught.value, TypeError)


@BOTH
@pytest.mark.parametrize("value", [None, 5, "f", [print]])
def test_only_functions_can_be_decorated(decorator, value):
    kind = Flow if decorator is flow else Task
    with pytest.raises(InvalidOption, match="a function, a method or a callable object"):
        kind(value)


@BOTH
@pytest.mark.parametrize("name", ["return_state", "wait_for"])
@pytest.mark.parametrize("wrap", [lambda fn: fn, staticmethod, classmethod])
def test_reserved_parameter_name_is_refused(decorator, name, wrap):
    fn = {"return_state": lambda return_state: 1, "wait_for": lambda wait_for: 1}[name]

    with pytest.raises(ReservedParameter, match=f"reserved parameter '{name}'"):
        decorator(wrap(fn))


@BOTH
def test_timedelta_is_taken_for_seconds(decorator):
    made = decorator(
        timeout_seconds=timedelta(minutes=1), retry_delay_seconds=timedelta(seconds=5), retries=1
    )(lambda: 1)

    assert made.timeout_seconds == 60
    assert made.spec.retry.delays_seconds == (5,)


# --- hooks as decorators ------------------------------------------------------------------------


def test_hooks_can_be_added_by_decorator():
    called = []

    @task
    def work(fail):
        if fail:
            raise ValueError

    @work.on_running
    def running(_task, _run, state):
        called.append(("running", state.name))

    @work.on_completion
    def completion(_task, _run, state):
        called.append(("completion", state.name))

    @work.on_failure
    def failure(_task, _run, state):
        called.append(("failure", state.name))

    work(False)
    work(True, return_state=True)

    assert callable(running)
    assert called == [
        ("running", "Running"),
        ("completion", "Completed"),
        ("running", "Running"),
        ("failure", "Failed"),
    ]

"""A context concerns its own thread and task alone, and takes out nothing but itself."""

import asyncio
import contextvars
import threading

from timm_mergemix.merge.scopes import Scope, scopes_of


def in_thread(function):
    got = []
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    thread.join()
    return got[0]


def test_scopes_are_those_of_their_owner_the_innermost_one_last():
    owner, other = object(), object()
    with Scope(owner, 0) as outer, Scope(other, 0), Scope(owner, 0) as inner:
        assert scopes_of(owner) == (outer, inner)
    assert scopes_of(owner) == scopes_of(other) == ()


def test_another_thread_sees_none_of_them():
    owner = object()
    with Scope(owner, 0):
        assert in_thread(lambda: scopes_of(owner)) == ()


def test_scopes_may_be_closed_in_any_order_and_by_another_thread():
    owner = object()
    one, other = Scope(owner, 0), Scope(owner, 0)
    one.__enter__()
    other.__enter__()
    in_thread(lambda: one.__exit__(None, None, None))
    assert scopes_of(owner) == (other,)
    other.__exit__(None, None, None)
    assert scopes_of(owner) == ()


def test_tasks_have_scopes_of_their_own():
    owner, seen = object(), {}

    async def task(name, first, second):
        with Scope(owner, 0) as scope:
            await first.wait()
            seen[name] = scopes_of(owner) == (scope,)
            second.set()
            await asyncio.sleep(0)
        seen[name] = seen[name] and scopes_of(owner) == ()

    async def run():
        start, middle, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        start.set()
        await asyncio.gather(task("a", start, middle), task("b", middle, end))

    asyncio.run(run())
    assert seen == {"a": True, "b": True}
    assert scopes_of(owner) == ()


def test_a_task_sees_the_scopes_that_it_was_started_in_while_they_are_open():
    owner = object()

    async def child(closed):
        inside = scopes_of(owner)
        await closed.wait()
        return inside, scopes_of(owner)

    async def run():
        closed = asyncio.Event()
        with Scope(owner, 0) as scope:
            task = asyncio.create_task(child(closed))
            await asyncio.sleep(0)
        closed.set()
        return scope, await task

    scope, (inside, after) = asyncio.run(run())
    assert inside == (scope,)
    assert after == ()


def test_a_scope_that_was_left_in_another_context_is_not_in_force():
    owner = object()
    context, scope = contextvars.copy_context(), Scope(owner, 0)
    context.run(scope.__enter__)
    scope.__exit__()
    assert context.run(scopes_of, owner) == ()

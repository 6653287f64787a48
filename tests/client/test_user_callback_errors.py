"""Functions of the user's: what they raise is theirs, and nobody awaits them."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.client.user_callback_errors import call, check_callback


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, ZeroDivisionError])
def test_whatever_a_callback_raises_is_returned(error):
    def broken(value):
        raise error

    result, raised = call(broken, 1)
    assert (result, type(raised)) == (None, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_get_through(error):
    def interrupted():
        raise error

    with pytest.raises(error):
        call(interrupted)


def test_a_returned_coroutine_is_an_error_and_leaves_no_warning():
    async def later(): ...

    result, raised = call(later)
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this
    assert (result, str(raised)[:28]) == (None, "later returned a coroutine, ")
    with pytest.raises(TypeError, match="on_open is called and not awaited"):
        check_callback(later, "on_open")

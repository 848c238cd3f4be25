"""Coverage looks away while torch writes a graph: it would only watch torch's own Python, and make an export nearly twice as long."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def untraced(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same call without a trace function on its thread; what it raises or returns is unchanged."""

    @functools.wraps(call)
    def quiet(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        before = sys.gettrace()
        sys.settrace(None)
        try:
            return call(*arguments, **named)
        finally:
            sys.settrace(before)

    return quiet

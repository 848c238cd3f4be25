"""`completion`: a bash script that completes the commands, options and fixed values of a parser; made of the parser, so it cannot be behind it.

Pure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator


def bash_completion(parser: argparse.ArgumentParser) -> str:
    """The script; what is neither a command, an option nor a fixed value is completed as a file name."""
    function = f"_{parser.prog.replace('-', '_')}"
    commands = dict(_commands(parser))
    cases = "\n".join(f"    {name}) words={_quoted(_words(command))} ;;" for name, command in commands.items())
    return f"""{function}() {{
  local command="" word words
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in {"|".join(commands)}) command="$word"; break ;; esac
  done
  case "$command" in
    "") words={_quoted([*commands, *_words(parser)])} ;;
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F {function} {parser.prog}
"""


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name for it
            yield from action.choices.items()


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Options and fixed values; none has a blank or a quote in it."""
    found: list[str] = []
    for action in _actions(parser):
        found += action.option_strings
        if action.choices is not None and not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            found += map(str, action.choices)
    return found


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public list of what a parser takes


def _quoted(words: list[str]) -> str:
    return f'"{" ".join(words)}"'

"""The check that every command must pass before it is sent: only what Dokku's grammar says; pure.

Knows no host and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrate.dokku.grammar_facts import Argument, CommandFacts, Flag, load
from shared.errors import OperatorError

#: Recognised by Dokku anywhere in a line, even inside the command of `run`.
GLOBAL_FLAGS = frozenset({"--quiet", "--trace", "--force", "--app"})


class GrammarError(OperatorError):
    """A command that Dokku would not understand, or would misunderstand; it was not sent."""

    def __init__(self, words: Sequence[str], problem: str) -> None:
        name = next((word for word in words if not word.startswith("-")), "")
        super().__init__(f"dokku {name}: {problem}; the command was not sent")
        self.command = name
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Invocation:
    """A checked command: its facts, the words of each argument by name, and the flags given."""

    facts: CommandFacts
    global_flags: tuple[str, ...]
    args: Mapping[str, tuple[str, ...]]
    flags: Mapping[str, tuple[str, ...]]

    def arg(self, name: str) -> str | None:
        """The (first) word of an argument, if it was given."""
        words = self.args.get(name, ())
        return words[0] if words else None

    @property
    def redeploys(self) -> bool:
        """Whether Dokku replaces containers of a deployed app because of this command."""
        rule = self.facts.redeploys
        if rule.startswith("unless "):
            return rule.removeprefix("unless ") not in self.flags
        return rule != ""


def check(words: Sequence[str]) -> Invocation:
    """The words after `dokku` as an Invocation; raises GrammarError on anything outside the grammar."""
    for word in words:
        if word == "" or "\n" in word or "\0" in word:
            raise GrammarError(words, "an empty word or a line break does not survive the way")
    leading: list[str] = []
    rest = list(words)
    while rest and rest[0] in {"--quiet", "--force"}:
        leading.append(rest.pop(0))
    if not rest:
        raise GrammarError(words, "there is no command")
    facts = load().get(rest[0])
    if facts is None:
        raise GrammarError(words, "there is no such command")
    if not facts.usable:
        raise GrammarError(words, "the command is deprecated, hidden or not implemented")
    positionals, flags = _Splitter(words, facts).split(rest[1:])
    return Invocation(facts, tuple(leading), _bind(words, facts, positionals, flags), flags)


class _Splitter:
    """Tells flags from positionals the way the command's own parser does, but refuses every doubt."""

    def __init__(self, words: Sequence[str], facts: CommandFacts) -> None:
        self._words = words
        self._facts = facts
        self._flags: dict[str, list[str]] = {}
        self._positionals: list[str] = []

    def split(self, rest: list[str]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
        facts = self._facts
        through = _passthrough_index(facts)
        while rest:
            word = rest.pop(0)
            if through is not None and len(self._positionals) > through:
                self._pass_through([word, *rest])
                break
            if word == "--" and facts.parser == "pflag":
                self._positionals.extend(rest)
                break
            if self._positionals and facts.flags_position == "before-args":
                self._stop_at_first_argument(word, rest)
                break
            if self._is_flag(word):
                self._take_flag(word, rest)
            else:
                self._check_order(word)
                self._positionals.append(word)
        return self._positionals, {name: tuple(values) for name, values in self._flags.items()}

    def _pass_through(self, command: list[str]) -> None:
        if taken := GLOBAL_FLAGS.intersection(command):
            raise GrammarError(self._words, f"Dokku itself would take {', '.join(sorted(taken))}")
        self._positionals.extend(command)

    def _stop_at_first_argument(self, word: str, rest: list[str]) -> None:
        names = {name for flag in self._facts.flags for name in (flag.name, flag.short) if name}
        if late := names.intersection([word, *rest]):
            raise GrammarError(self._words, f"{min(late)} must stand before the arguments")
        self._positionals.extend([word, *rest])

    def _is_flag(self, word: str) -> bool:
        if not word.startswith("-") or word == "-":
            return False
        place = len(self._positionals)
        expected = (
            self._facts.args[min(place, len(self._facts.args) - 1)].name if self._facts.args else ""
        )
        return not any(
            alternative.positional_value == word and alternative.arg == expected
            for alternative in self._facts.alternatives
        )

    def _check_order(self, word: str) -> None:
        if self._facts.flags_position == "after-args" and self._flags:
            raise GrammarError(self._words, f"{word!r} must stand before the flags")

    def _take_flag(self, word: str, rest: list[str]) -> None:
        facts = self._facts
        flag = next((f for f in facts.flags if word in {f.name, f.short}), None)
        if flag is None:
            if word in facts.info_flags or any(
                re.search(p, word) for p in facts.info_flag_patterns
            ):
                if (
                    any(name in facts.info_flags for name in self._flags)
                    or "--format" in self._flags
                ):
                    raise GrammarError(self._words, "one information flag at most")
                self._flags[word] = []
                return
            raise GrammarError(self._words, f"there is no flag {word}")
        if flag.deprecated or flag.internal:
            raise GrammarError(self._words, f"{word} is deprecated or internal")
        if flag.name in self._flags and not flag.repeatable:
            raise GrammarError(self._words, f"{flag.name} is given twice")
        values = self._flags.setdefault(flag.name, [])
        if flag.value:
            if not rest:
                raise GrammarError(self._words, f"{word} needs a value")
            values.append(self._flag_value(flag, rest.pop(0)))

    def _flag_value(self, flag: Flag, value: str) -> str:
        if flag.values and value not in flag.values:
            raise GrammarError(self._words, f"{flag.name} is one of {', '.join(flag.values)}")
        if flag.type == "int" and not re.fullmatch(r"-?[0-9]+", value):
            raise GrammarError(self._words, f"{flag.name} is a whole number")
        return value


def _passthrough_index(facts: CommandFacts) -> int | None:
    names = [argument.name for argument in facts.args]
    return names.index(facts.passthrough_after) if facts.passthrough_after in names else None


def _bind(
    words: Sequence[str],
    facts: CommandFacts,
    positionals: list[str],
    flags: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    left_out = {
        alternative.replaces_arg
        for alternative in facts.alternatives
        if alternative.flag and alternative.flag in flags
    }
    bound: dict[str, tuple[str, ...]] = {}
    rest = list(positionals)
    for argument in facts.args:
        if argument.name in left_out:
            continue
        if not rest:
            if argument.optional:
                continue
            raise GrammarError(words, f"<{argument.name}> is missing")
        taken = rest if argument.repeatable else rest[:1]
        rest = rest[len(taken) :]
        for word in taken:
            _check_word(words, facts, argument, word)
        bound[argument.name] = tuple(taken)
    if rest:
        raise GrammarError(words, f"{rest[0]!r} is one argument too many")
    _check_property(words, facts, bound, "--global" in flags or "--global" in positionals)
    return bound


def _check_word(words: Sequence[str], facts: CommandFacts, argument: Argument, word: str) -> None:
    if any(a.positional_value == word and a.arg == argument.name for a in facts.alternatives):
        return
    if argument.values and word not in argument.values:
        raise GrammarError(words, f"<{argument.name}> is one of {', '.join(argument.values)}")
    if argument.values_csv and not set(word.split(",")) <= set(argument.values_csv):
        raise GrammarError(words, f"<{argument.name}> is made of {', '.join(argument.values_csv)}")
    if argument.pattern and not re.search(argument.pattern, word):
        raise GrammarError(words, f"<{argument.name}> does not look like {argument.pattern}")


def _check_property(
    words: Sequence[str],
    facts: CommandFacts,
    bound: Mapping[str, tuple[str, ...]],
    is_global: bool,
) -> None:
    known = facts.global_properties if is_global and facts.global_properties else facts.properties
    if not known or "property" not in bound:
        return
    name = bound["property"][0]
    if not any(
        name == entry or (entry.endswith("*") and name.startswith(entry[:-1])) for entry in known
    ):
        raise GrammarError(words, f"there is no property {name}")
    value = bound.get("value", ("",))[0]
    if value == "":
        return
    allowed = facts.property_values.get(name, ())
    if allowed and value not in allowed:
        raise GrammarError(words, f"{name} is one of {', '.join(allowed)}")
    if name in facts.integer_properties and not value.isdigit():
        raise GrammarError(words, f"{name} is a whole number")
    pattern = facts.property_patterns.get(name, "")
    if pattern and not re.search(pattern, value):
        raise GrammarError(words, f"{name} does not look like {pattern}")

"""Documents that a person or another program wrote: YAML and JSON, read with bounds and checked.

A detector, a recipe, a tuned file and a model's card are small trees of texts and finite numbers.
Whatever else is found there is refused in one line before anything of its size is allocated: files
that are no files (a FIFO waits for ever), more than `MOST_BYTES`, text that is not UTF-8, nesting
beyond `MOST_DEPTH`, aliases that unfold to more than `MOST_VALUES` values, keys that stand twice,
numbers that are not finite, texts that no file takes (with NUL, or half of a pair). No message
quotes more than `MOST_QUOTED` characters of a value.
"""

__all__ = [
    "checked",
    "complaint",
    "json_tree",
    "near",
    "printable",
    "quoted",
    "read_json",
    "read_yaml",
    "yaml_value",
]

import json
import math
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from caloforge.errors import MOST_QUOTED, CaloforgeError, near, printable, quoted, words_of

MOST_BYTES = 4 * 2**20
MOST_DEPTH = 40
MOST_VALUES = 200_000
_MOST_BITS = 320

_NO_TEXT = re.compile("[\0\ud800-\udfff]")

Kind = TypeVar("Kind")
_Refusal = type[CaloforgeError]


def read_yaml(path: Path, what: str, refusal: _Refusal) -> dict[str, Any]:
    """Read keys and values from YAML.

    Arguments:
        path: The file.
        what: What the file is, for the messages, such as ``recipe my.yaml``.
        refusal: The error to raise.

    Raises:
        CaloforgeError: An error of the given kind: the file cannot be read, or is not YAML of keys
            and values within the bounds.
    """
    text = _text(path, what, refusal)
    try:
        values = _Loader(text, what, refusal).get_single_data()
    except yaml.YAMLError as error:
        _refuse(
            refusal, f"{what}: not YAML ({_where(error)}): indent by spaces, write 'key: value'"
        )
    except (RecursionError, ValueError) as error:
        _refuse(refusal, f"{what}: not YAML ({type(error).__name__}): write it plainly")
    return _tree(values, what, refusal)


def read_json(path: Path, what: str, refusal: _Refusal) -> dict[str, Any]:
    """Read keys and values from JSON; as `read_yaml`."""
    return json_tree(_text(path, what, refusal), what, refusal)


def json_tree(text: str, what: str, refusal: _Refusal) -> dict[str, Any]:
    """The keys and values of a text in JSON; as `read_yaml`."""
    if len(text) > MOST_BYTES:
        size = f"{len(text) / 2**20:.0f} MiB"
        _refuse(refusal, f"{what}: {size} of JSON, at most {MOST_BYTES // 2**20} are read")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            _refuse(refusal, f"{what}: a key stands twice among {quoted(list(found))}: keep one")
        return found

    try:
        values = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        _refuse(refusal, f"{what}: not JSON ({words_of(error)}): write the file again")
    return _tree(values, what, refusal)


def yaml_value(text: str, what: str, refusal: _Refusal) -> Any:
    """The value that a short text means in YAML, such as ``[3, 4]``; as `read_yaml`."""
    try:
        value = _Loader(text, what, refusal).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = _where(error) if isinstance(error, yaml.YAMLError) else type(error).__name__
        _refuse(refusal, f"{what}: {quoted(text)} is no value in YAML ({where})")
    _require_leaves(value, what, refusal)
    return value


def _text(path: Path, what: str, refusal: _Refusal) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            _refuse(refusal, f"{what}: {path} is no regular file: give the path of a file of text")
        if status.st_size > MOST_BYTES:
            size = f"{status.st_size / 2**20:.0f} MiB, at most {MOST_BYTES // 2**20}"
            _refuse(refusal, f"{what}: {path} has {size} are read: is it the right file?")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        _refuse(refusal, f"{what}: {path} cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        _refuse(refusal, f"{what}: {path} is not UTF-8: save it as plain text in UTF-8")


def _refuse(refusal: _Refusal, message: str) -> NoReturn:
    raise refusal(message) from None


def _where(error: yaml.YAMLError) -> str:
    """What is wrong and in which line, in the words of the parser but without its drawing."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or words_of(error)
    return f"{problem}{f' in line {mark.line + 1}' if mark else ''}"[: 2 * MOST_QUOTED]


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses keys that stand twice and deep or unfolding trees."""

    def __init__(self, text: str, what: str, refusal: _Refusal) -> None:
        super().__init__(text)
        self._what, self._refusal, self._depth = what, refusal, 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """A node, and what stands below it."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            _refuse(self._refusal, f"{self._what}: nested more than {MOST_DEPTH} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and id(node) not in self._sizes:
            self._sizes[id(node)] = 1 + sum(self._sizes.get(id(n), 1) for n in _below(node))
        if node is not None and self._sizes[id(node)] > MOST_VALUES:
            _refuse(self._refusal, f"{self._what}: its aliases unfold to over {MOST_VALUES} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The keys and values of a node."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            line = node.start_mark.line + 1
            where = f"in the group that begins in line {line}"
            _refuse(
                self._refusal, f"{self._what}: key {quoted(twice)} stands twice {where}: keep one"
            )
        return super().construct_mapping(node, deep)


def _below(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        yield from child if isinstance(child, tuple) else (child,)


def _tree(values: Any, what: str, refusal: _Refusal) -> dict[str, Any]:
    """The values, which are keys and values of finite numbers within the bounds."""
    if not isinstance(values, dict):
        kind = "nothing" if values is None else f"a {type(values).__name__}"
        _refuse(refusal, f"{what}: expected keys and values, found {kind}")
    _require_leaves(values, what, refusal)
    return values


def _require_leaves(values: Any, what: str, refusal: _Refusal) -> None:
    for keys, value in _leaves(values, (), what, refusal):
        where = f"{what}: {printable('.'.join(keys))}" if keys else what
        for text in (*keys, value):
            if isinstance(text, str) and _NO_TEXT.search(text):
                _refuse(refusal, f"{where} has a character that is none: {quoted(printable(text))}")
        if isinstance(value, float) and not math.isfinite(value):
            _refuse(refusal, f"{where} is {value}, expected a finite number")
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            _refuse(refusal, f"{where} is {quoted(value)}, expected at most {_MOST_BITS} bits")


def _leaves(
    value: Any, keys: tuple[str, ...], what: str, refusal: _Refusal
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if len(keys) > MOST_DEPTH:
        _refuse(refusal, f"{what}: nested more than {MOST_DEPTH} deep")
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from _leaves(item, (*keys, str(key)), what, refusal)
    else:
        yield keys, value


def checked(kind: type[Kind], values: Mapping[str, Any], what: str, refusal: _Refusal) -> Kind:
    """Make a record of values, all keys known and of their types.

    Arguments:
        kind: The type of the record, a dataclass whose fields are types that pydantic knows.
        values: The values, as `read_yaml` or `read_json` gives them.
        what: What they are, for the messages.
        refusal: The error to raise.

    Raises:
        CaloforgeError: An error of the given kind: a key is unknown or missing, or a value is not
            of its type; the message names the key, and the near one of an unknown key.
    """
    plain: Any = kind
    adapter = _adapter(plain)
    try:
        record: Kind = adapter.validate_python(values)
    except ValidationError as error:
        _refuse(refusal, f"{what}: {complaint(error, values, adapter.json_schema)}")
    return record


@cache
def _adapter(kind: Any) -> Any:
    """The checks of a record; making them takes longer than applying them."""
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(kind))


def complaint(failed: ValidationError, values: Any, schema: Callable[[], Any]) -> str:
    """What is wrong first, with which key, as the file writes it.

    What pydantic puts among the keys and no file has is left out: the tag of a union, and the name
    of the type that a value was tried as.

    Arguments:
        failed: What pydantic says.
        values: The values.
        schema: Makes the JSON schema of what was expected, for the near one of an unknown key.
    """
    error = failed.errors()[0]
    keys, known = [], values
    for place, part in enumerate(error["loc"], 1):
        last = place == len(error["loc"])
        if _is_key(part, known):
            keys.append(str(part))
            known = known[part]
        elif last and (isinstance(known, Mapping) or isinstance(part, int)):
            keys.append(str(part))
    if error["type"] in _UNKNOWN:
        return f"unknown key '{'.'.join(keys)}'{near(keys[-1], _names(schema()))}"
    if error["type"] == "union_tag_invalid":
        keys.append(error["ctx"]["discriminator"].strip("'"))
    return f"{'.'.join(keys)}: {_SAY.get(error['type'], _as_pydantic)(error)}"


def _is_key(part: int | str, known: Any) -> bool:
    """Whether a value has a key, or an item of that number."""
    if isinstance(known, list | tuple):
        return isinstance(part, int) and part < len(known)
    return isinstance(known, Mapping) and part in known


def _names(schema: Any) -> Iterator[str]:
    """The names of all keys of a schema."""
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        yield from properties if isinstance(properties, dict) else ()
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)


def _expected(words: str) -> Callable[[ErrorDetails], str]:
    """What was expected, with the numbers of the check, and what was found."""
    return lambda error: (
        f"expected {words.format(**error.get('ctx', {}))}, found {quoted(error['input'])}"
    )


def _as_pydantic(error: ErrorDetails) -> str:
    return f"{error['msg'].lower()} (found {quoted(error['input'])})"


_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
_SAY: Mapping[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda error: "is missing",
    "value_error": lambda error: str(error["ctx"]["error"]),
    "literal_error": _expected("{expected}"),
    "enum": _expected("{expected}"),
    "greater_than": _expected("a number above {gt:g}"),
    "greater_than_equal": _expected("a number of at least {ge:g}"),
    "less_than": _expected("a number below {lt:g}"),
    "less_than_equal": _expected("a number of at most {le:g}"),
    "finite_number": _expected("a finite number"),
    "string_type": _expected("a text"),
    "string_too_long": _expected("a text of at most {max_length} characters"),
    "too_long": _expected("at most {max_length} values"),
    "too_short": _expected("at least {min_length} values"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _expected("a whole number")),
    **dict.fromkeys(("float_type", "float_parsing"), _expected("a number")),
    **dict.fromkeys(("bool_type", "bool_parsing"), _expected("true or false")),
    **dict.fromkeys(("list_type", "tuple_type"), _expected("a list")),
    **dict.fromkeys(("dict_type", "dataclass_type", "mapping_type"), _expected("keys and values")),
    "union_tag_invalid": lambda error: (
        f"{quoted(error['ctx']['tag'])} is unknown, expected {error['ctx']['expected_tags']}"
    ),
}

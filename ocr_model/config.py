"""Typed settings: one frozen base class, one loader, and what is said of wrong ones."""

import difflib
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from ocr_model.errors import ConfigError

_OTHER_KIND = "another kind of this section has it, the chosen one has not"

ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """Base of every settings class: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: object) -> object:
        """Pydantic takes true for 1."""
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool) and name in cls.model_fields:
                wanted = set(_leaves(cls.model_fields[name].annotation))
                if {int, float} & wanted and bool not in wanted:
                    raise ValueError(f"{name} is a number, got {str(value).lower()}")
        return values

    def to_yaml(self) -> str:
        """Return the resolved settings as YAML that `load_config` reads back unchanged."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def replace(self: ConfigT, **changes: object) -> ConfigT:
        """Return a copy with some fields changed, validated like a new one."""
        return type(self).model_validate({**self.model_dump(), **changes})


def load_config(
    cls: type[ConfigT], path: str | Path | None = None, overrides: Iterable[str] = ()
) -> ConfigT:
    """Build settings from a YAML file and `section.key=value` overrides, the latter winning.

    A section that does not say its kind (`data.source`, `model.name`) is of the default's. An
    override that changes the kind drops what the file said about the other. Values of overrides are
    read as YAML, so `true`, `3`, `[a, b]` and `null` mean what they say.

    Raises:
        ConfigError: The file is missing or not a mapping, an override has no `=`, a key is
            unknown (the nearest known one is named), or a value does not fit.
    """
    values = _read_yaml(Path(path).expanduser()) if path is not None else {}
    for name, field in cls.model_fields.items():
        if values.get(name, ...) is None and _config_classes(field):
            values[name] = {}  # a section of which all lines are comments
    assignments = [_parse(override) for override in overrides]
    for keys, value in assignments:  # before any is made: only what the file said is dropped
        _forget_other_kind(cls, values, keys, value)
    for keys, value in assignments:
        _assign(values, keys, value)
    try:
        return cls.model_validate(_over_defaults(cls, None, values))
    except ValidationError as error:
        raise ConfigError("\n".join(explain(cls, error))) from error


def describe(cls: type[Config], prefix: str = "") -> Iterator[str]:
    """Yield one help text per setting, nested sections and their variants included."""
    for name, field in cls.model_fields.items():
        variants = _config_classes(field)
        if not variants:
            summary = textwrap.fill(field.description or "", 92, initial_indent=" " * 6)
            yield f"  {prefix}{name} = {_default_text(field)}"
            if summary:
                yield summary.replace("\n", "\n" + " " * 6)
            continue
        for variant in variants:
            if len(variants) > 1:
                yield f"  -- {prefix}{name}: {variant.__name__}"
            yield from describe(variant, f"{prefix}{name}.")


def explain(cls: type[Config], error: ValidationError) -> list[str]:
    """Return one line per fault: where it is, what is wrong, what was got or may be meant."""
    lines = []
    for problem in error.errors():
        keys, known = _place(cls, problem["loc"])
        where = ".".join(keys)
        match problem["type"]:
            case "extra_forbidden":
                is_of_other_kind = where in _known_keys(cls) and where not in known
                hint = _OTHER_KIND if is_of_other_kind else _hint(known, keys)
                lines.append(f"{where}: unknown setting; {hint}")
            case "value_error":  # of our own validators, which say what they got
                lines.append(f"{where}: {problem['ctx']['error']}".removeprefix(": "))
            case "missing":
                lines.append(f"{where}: a value is missing, and there is no default")
            case "union_tag_invalid":
                key, tags = (problem["ctx"][name] for name in ("discriminator", "expected_tags"))
                choices = tags.replace("'", "")
                lines.append(f"{where}.{key[1:-1]}: {problem['ctx']['tag']!r} is none of {choices}")
            case "tuple_type" | "list_type":
                lines.append(f"{where}: takes a list, as [a, b], got {problem['input']!r}")
            case "model_type" | "model_attributes_type":
                lines.append(f"{where}: has settings of its own, got {problem['input']!r}")
            case "string_type" if isinstance(problem["input"], bool | int | float | date):
                quoted = f"{where}='\"{_as_typed(problem['input'])}\"'"
                lines.append(f"{where}: {problem['msg']}; quote it for YAML: {quoted}")
            case _:
                lines.append(f"{where}: {problem['msg']}, got {problem['input']!r}")
    return lines


def _as_typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(cls: type[Config], location: Sequence[str | int]) -> tuple[list[str], list[str]]:
    """Return the keys as users write them, and all keys that there are for the kinds chosen.

    Pydantic names the kind of a section between its keys, as in `data.parquet.path`.
    """
    keys: list[str] = []
    known = sorted(set(_known_keys(cls)))
    section: type[Config] | None = cls
    parts = [str(part) for part in location]
    while parts:
        keys.append(parts.pop(0))
        field = section.model_fields.get(keys[-1]) if section is not None else None
        variants = _config_classes(field) if field is not None else []
        section = variants[0] if len(variants) == 1 else None
        if field is not None and isinstance(field.discriminator, str) and parts:
            kind, prefix = parts.pop(0), ".".join(keys) + "."
            section = next(v for v in variants if _is_kind(v, field.discriminator, kind))
            known = [key for key in known if not key.startswith(prefix)]
            known += _known_keys(section, prefix)
    return keys, known


def _is_kind(variant: type[Config], key: str, kind: str) -> bool:
    return kind in get_args(variant.model_fields[key].annotation)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"config {path} is not text in UTF-8: {error.reason}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_one_line(error)}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, got {type(values).__name__}")
    return values


def _parse(override: str) -> tuple[list[str], object]:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set takes section.key=value, got {override!r}")
    try:
        return key.split("."), yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise ConfigError(
            f"the value in {override!r} is not valid YAML: {_one_line(error)}"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _over_defaults(
    cls: type[Config], default: Config | None, given: dict[str, Any]
) -> dict[str, Any]:
    """Lay what is given over a default.

    A section of which one setting is given keeps the others as its owner has them, which may not be
    as the section's class has them; and its kind, where none is given.
    """
    complete = {}
    if default is not None:  # by its fields: a cached property stands beside them
        complete = {name: getattr(default, name) for name in cls.model_fields}
    for name, value in given.items():
        field = cls.model_fields.get(name)
        complete[name] = value
        if field is not None and isinstance(value, dict) and _config_classes(field):
            owner_has = field.get_default() if default is None else getattr(default, name)
            complete[name] = _section_over_default(field, owner_has, value)
    return complete


def _section_over_default(field: FieldInfo, default: object, given: dict[str, Any]) -> object:
    key, known = field.discriminator, default if isinstance(default, Config) else None
    kinds = _config_classes(field)
    if isinstance(key, str):
        given = given if known is None else {key: getattr(known, key), **given}
        kinds = [kind for kind in kinds if _is_kind(kind, key, str(given.get(key)))]
    if len(kinds) != 1:
        return given  # validation says what is wrong with it
    return _over_defaults(kinds[0], known if type(known) is kinds[0] else None, given)


def _forget_other_kind(
    cls: type[Config], values: dict[str, Any], keys: list[str], value: object
) -> None:
    """Empty the section whose kind is set to another: what it says is of the former."""
    name, *inner = keys
    field, given = cls.model_fields.get(name), values.get(name)
    if field is None or not isinstance(given, dict) or not inner:
        return
    kinds = _config_classes(field)
    if inner == [field.discriminator]:
        default = value if field.is_required() else getattr(field.get_default(), inner[0])
        if given.get(inner[0], default) != value:
            values[name] = {}
    elif len(kinds) == 1:
        _forget_other_kind(kinds[0], given, inner, value)


def _assign(values: dict[str, Any], keys: list[str], value: object) -> None:
    *sections, last = keys
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{'.'.join(keys)}: {section!r} holds a value, not a section")
        values = inner
    values[last] = value


def _hint(known: list[str], keys: list[str]) -> str:
    of_section = [key for key in known if key.split(".")[0] == keys[0]]
    for candidates, cutoff in ((of_section, 0.6), (known, 0.5)):
        by_name = {key.rpartition(".")[2]: key for key in reversed(candidates)}
        nearest = difflib.get_close_matches(keys[-1], by_name, n=1, cutoff=cutoff)
        if nearest:
            return f"did you mean {by_name[nearest[0]]!r}?"
    return "--help lists the known ones"


def _known_keys(cls: type[Config], prefix: str = "") -> Iterator[str]:
    for name, field in cls.model_fields.items():
        yield prefix + name
        for variant in _config_classes(field):
            yield from _known_keys(variant, f"{prefix}{name}.")


def _config_classes(field: FieldInfo) -> list[type[Config]]:
    """Return the kinds that a section may be of; none where it is a value, or a list of any."""
    leaves = _leaves(field.annotation)
    return [leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, Config)]


def _leaves(annotation: object) -> list[Any]:
    """List the classes of a union; those inside a list or a dictionary are not among them."""
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [leaf for part in get_args(annotation) for leaf in _leaves(part)]
    return [annotation] if isinstance(annotation, type) else []


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    default = field.get_default(call_default_factory=True)
    return json.dumps(default)

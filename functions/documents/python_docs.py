"""The documentation of the Python standard library, as the running interpreter carries it.

Every public module, class, function and method that has a docstring, under the name a reader would look for:
`json.dumps`, `asyncio.gather`, `os.path.join`, `str.split`. Nothing is downloaded; the text is always that of
the interpreter in use. Importing the library costs seconds and memory once: `python_docs_fingerprint` tells,
without it, whether that is needed.
"""

import ast
import contextlib
import functools
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
import sysconfig
import types
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path

from functions.documents.chunks import Block, Section, one_line, paragraphs, passages_of
from functions.documents.metadata import authors_of
from functions.errors import TroupeError
from functions.events.common import Passage, Work

#: Raise it whenever this reader or the chunker would read the same interpreter differently.
READER_VERSION = 3

#: Left out, with everything below them.
_EXCLUDED = {
    "antigravity": "opens a browser when imported",
    "turtle": "reads a file of the working directory when imported",
    "this": "prints when imported",
    "readline": "writes to some terminals when imported",
    "rlcompleter": "takes over the prompt's completion when imported",
    "test": "tests of Python itself",
    "idlelib": "an application",
    "turtledemo": "an application",
    "lib2to3": "an application, deprecated",
    "distutils": "deprecated, and replaced at import by setuptools where that is installed",
    "pydoc_data": "text, not modules",
    "encodings": "codecs by name; documented under codecs",
    "posix": "documented as os",
    "nt": "documented as os",
    "posixpath": "documented as os.path",
    "ntpath": "documented as os.path",
    "genericpath": "documented as os.path",
    "nturl2path": "documented as urllib.request",
    "pyexpat": "documented as xml.parsers.expat",
    "sre_compile": "documented as re",
    "sre_constants": "documented as re",
    "sre_parse": "documented as re",
}
#: Modules that are reached by an attribute, not by a package's path.
_ALSO = ("os.path",)
_BUILTINS = "builtins"
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}
#: Characters of a docstring's beginning that enter the title of its module.
_MAX_SUMMARY = 100
#: The level of optimization from which Python drops docstrings: `-OO`, `PYTHONOPTIMIZE=2`.
_WITHOUT_DOCSTRINGS = 2
#: Docstrings that Python writes itself; they say nothing of the object.
_GENERATED = re.compile(
    r"(An enumeration\.|Alias for field number \d+|The type of the None singleton\."
    r"|Initialize self\.  See help\(type\(self\)\) for accurate signature\.)\Z"
)
#: Where the library's files are: its Python, and its extensions where they are kept apart.
_HOMES = (Path(os.__file__).parent, Path(sysconfig.get_path("platstdlib")), Path(sys.base_exec_prefix, "DLLs"))
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class _Found:
    """An object under one of the names by which it can be reached."""

    module: str
    path: str
    value: object

    @property
    def name(self) -> str:
        """The dotted name: of a builtin, as one would write it."""
        if not self.path:
            return self.module
        return self.path if self.module == _BUILTINS else f"{self.module}.{self.path}"


@dataclass(frozen=True)
class Module:
    """A top-level module and all below it, as a document: `python:os` has the passages of `python:os.path`."""

    source: str
    fingerprint: str
    #: Shared by all modules: names lead across them, so they are read together, at the first need of any.
    corpus: dict[str, list[Passage]]

    @property
    def size(self) -> int:
        """Its passages; reads the whole corpus."""
        self._fill()
        return len(self.corpus.get(self.source, ()))

    def read(self) -> Sequence[Passage]:
        """Its passages, of which a module without docstrings has none."""
        self._fill()
        return self.corpus.get(self.source, [])

    def _fill(self) -> None:
        if not self.corpus:
            for passage in read_python_docs():
                self.corpus.setdefault(passage.source.partition(".")[0], []).append(passage)


def python_documents() -> tuple[Module, ...]:
    """The corpus as documents, one a top-level module; nothing is imported until one is read."""
    corpus: dict[str, list[Passage]] = {}
    fingerprint = python_docs_fingerprint()
    return tuple(Module(f"python:{name}", fingerprint, corpus) for name in python_modules())


def python_docs_fingerprint() -> str:
    """Names the interpreter and this reader: equal fingerprints, equal passages. Takes no import."""
    version = f"{_python_version()}{sys.version_info.releaselevel[0]}"
    return f"{sys.implementation.name}-{version}-{sys.platform}-{READER_VERSION}"


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def python_modules() -> tuple[str, ...]:
    """The top-level modules that are read, sorted, without importing any."""
    return tuple(sorted(n for n in sys.stdlib_module_names if n not in _EXCLUDED and not n.startswith("_")))


def read_python_docs() -> Iterator[Passage]:
    """Every passage of the standard library's documentation, in a fixed order with fixed ids.

    A passage's source is its module (`python:heapq`), its text the signature, where Python knows it, and the
    docstring. What is reachable under several names is read under its best one; what has no docstring of its
    own is left out.

    Raises:
        TroupeError: This Python runs without docstrings.
    """
    if sys.flags.optimize >= _WITHOUT_DOCSTRINGS:
        raise TroupeError(
            "Python's own documentation cannot be read, as this Python runs without docstrings: "
            "unset PYTHONOPTIMIZE, or leave out -OO"
        )
    yield from _read()


def _read() -> list[Passage]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated modules say so as they are imported
        modules = list(_modules())
        named = _best(_exported(modules))
        members = _best([*named, *_members(named)])
        found = sorted([*_titles(modules), *members], key=lambda f: (f.module, f.path))
        works = {_public_module(module): _work(module) for module in modules}
        return [passage for one in found for passage in _passages(one, works[one.module])]


def _modules() -> Iterator[types.ModuleType]:
    for name in (*python_modules(), *_ALSO):
        yield from _with_submodules(name)


def _with_submodules(name: str) -> Iterator[types.ModuleType]:
    module = _imported(name)
    if module is None:
        return
    yield module
    children = {child.name for child in pkgutil.iter_modules(getattr(module, "__path__", ()))}
    for child in sorted(children - _made_of(module)):
        if not child.startswith(("_", "test")):
            yield from _with_submodules(f"{name}.{child}")


def _made_of(package: types.ModuleType) -> set[str]:
    """The submodules whose names a package offers as its own, and those that these are made of.

    As asyncio does with `asyncio.base_events`, which uses `asyncio.staggered`: what it does not pass on of them is
    how it is made.
    """
    if not hasattr(package, "__path__"):
        return set()
    parts: set[str] = set()
    found = {part for part, names in _taken(package, package.__name__) if not all(n.startswith("_") for n in names)}
    while found - parts:
        parts |= found
        modules = (sys.modules.get(f"{package.__name__}.{part}") for part in found)
        found = {part for module in modules if module for part, _ in _taken(module, package.__name__)}
    return parts


def _taken(module: types.ModuleType, package: str) -> Iterator[tuple[str, list[str]]]:
    """The submodules of a package that a module imports from, with the names that it gives to what it takes."""
    with contextlib.suppress(OSError, TypeError):  # its source is not there to be looked at
        for statement in ast.parse(inspect.getsource(module)).body:
            if isinstance(statement, ast.ImportFrom) and statement.level < 2:  # noqa: PLR2004 - above is another package
                source = f"{package}.{statement.module or ''}" if statement.level else statement.module or ""
                names = [alias.asname or alias.name for alias in statement.names]
                if source.rstrip(".") == package:
                    yield from ((name, ["_" if module.__name__ == package else name]) for name in names)
                elif source.startswith(f"{package}."):
                    yield source.removeprefix(f"{package}.").partition(".")[0], names


def _imported(name: str) -> types.ModuleType | None:
    """The module, or None where this platform lacks it or it refuses to load."""
    with contextlib.suppress(Exception, SystemExit):
        return importlib.import_module(name) if _is_pythons_own(name) else None
    return None


def _is_pythons_own(name: str) -> bool:
    """Would the import find Python's own module, or a file of that name that comes before it on the path?

    A `wave.py` in the working directory would otherwise be run for its docstrings.
    """
    spec = importlib.util.find_spec(name.partition(".")[0])
    if spec is None or spec.origin is None:  # not here, or a mere folder of that name
        return False
    origin = Path(spec.origin)
    is_at_home = any(origin.is_relative_to(home) for home in _HOMES) and "site-packages" not in origin.parts
    return is_at_home or spec.origin in {"built-in", "frozen"}


def _titles(modules: Iterable[types.ModuleType]) -> Iterator[_Found]:
    for module in modules:
        yield _Found(_public_module(module), "", module)


def _public_module(module: types.ModuleType) -> str:
    return "os.path" if module is sys.modules["os.path"] else module.__name__


def _exported(modules: Iterable[types.ModuleType]) -> Iterator[_Found]:
    """What modules offer: the names of `__all__`, or without it what was defined there."""
    for module in modules:
        name = _public_module(module)
        listed = vars(module) if name == _BUILTINS else getattr(module, "__all__", None)
        for attribute in sorted(set(listed or vars(module))):
            value = getattr(module, attribute, None)
            if attribute.startswith("_") or not (inspect.isclass(value) or inspect.isroutine(value)):
                continue
            if _is_of_library(value) and (listed or _is_home(name, value)):
                yield _Found(name, attribute, value)


def _is_of_library(value: object) -> bool:
    """Or was it put there by others, as debuggers and test runners replace `sys.excepthook`?"""
    made_in = getattr(value, "__module__", None)
    return not isinstance(made_in, str) or made_in.partition(".")[0] in sys.stdlib_module_names


def _is_home(module: str, value: object) -> bool:
    """Was it made in this module, its private half (`_ssl`) or a part of its package?"""
    made_in = getattr(value, "__module__", None) or ""
    return made_in.removeprefix("_") == module or made_in.startswith(f"{module}.")


def _best(candidates: Iterable[_Found]) -> list[_Found]:
    """One name an object: the shortest, and of those the one it calls itself."""
    chosen: dict[int, _Found] = {}
    for found in candidates:
        key = id(_underlying(found.value))
        if key not in chosen or _rank(found) < _rank(chosen[key]):
            chosen[key] = found
    return list(chosen.values())


def _rank(found: _Found) -> tuple[int, bool, bool, int, str]:
    return (
        found.name.count("."),
        found.path.rpartition(".")[2] != getattr(found.value, "__name__", None),
        getattr(found.value, "__module__", None) != found.module,
        len(found.name),
        found.name,
    )


def _underlying(value: object) -> object:
    """What bound and wrapped methods share with the function they were made from."""
    return value.__func__ if isinstance(value, types.MethodType | staticmethod | classmethod) else value


def _members(named: Iterable[_Found]) -> Iterator[_Found]:
    # `socket.SocketType` is the private base of `socket.socket` under another name: no home of its own.
    public = {id(f.value) for f in named if f.path == getattr(f.value, "__name__", None)}
    for found in named:
        if isinstance(found.value, type):
            for name, value in _own(found.value, public):
                yield _Found(found.module, f"{found.path}.{name}", value)


def _own(cls: type, public: set[int]) -> Iterator[tuple[str, object]]:
    """The public attributes that a class adds, or takes from bases that have no public name."""
    seen: set[str] = set()
    for place, base in enumerate(cls.__mro__):
        if base is not cls and id(base) in public:
            continue
        after = [above for above in cls.__mro__[place + 1 :] if id(above) in public]
        for name, value in sorted(vars(base).items()):
            if not name.startswith("_") and name not in seen and _is_member(value):
                seen.add(name)
                if not _is_inherited(value, name, after):
                    yield name, value


def _is_member(value: object) -> bool:
    described = isinstance(value, property | functools.cached_property | staticmethod | classmethod)
    return described or inspect.isroutine(value) or inspect.isdatadescriptor(value)


def _is_inherited(value: object, name: str, above: Iterable[type]) -> bool:
    """Is the docstring that of the attribute it overrides?"""
    return any(value.__doc__ == vars(base)[name].__doc__ for base in above if name in vars(base))


def _passages(found: _Found, work: Work) -> Iterator[Passage]:
    text = _docstring(found.value)
    if text in {"", found.path}:
        return
    signature = _signature(found)
    blocks = [*([Block(signature, code=True)] if signature else []), *paragraphs(text)]
    yield from passages_of(f"python:{found.module}", [Section((found.name,), tuple(blocks))], untitled="", work=work)


def _work(module: types.ModuleType) -> Work:
    """A module as a work: its name and what its docstring begins with, its authors, which Python it is of."""
    name = _public_module(module)
    said = getattr(module, "__author__", ())
    authors = [said] if isinstance(said, str) else [each for each in said if isinstance(each, str)]
    summary = _summary(name, _doc(module))
    return Work(
        title=f"{name}: {summary}" if summary else name,
        authors=authors_of(*(name for text in authors for name in text.split(","))),
        version=f"{_IMPLEMENTATIONS.get(sys.implementation.name, sys.implementation.name)} {_python_version()}",
    )


def _summary(module: str, docstring: str) -> str:
    """The first paragraph, or as many sentences of it as a title may have, without the module's name before it."""
    paragraph = one_line(docstring.partition("\n\n")[0])
    shown = re.sub(rf"(?:module )?{re.escape(module)}(?:\.py)?(?: module)?\s+-+\s+", "", paragraph, flags=re.IGNORECASE)
    cut = shown if len(shown) <= _MAX_SUMMARY else shown[:_MAX_SUMMARY].rpartition(". ")[0]
    return "" if cut == module else cut.rstrip(".")


def _docstring(value: object) -> str:
    """The object's own docstring, a class's with that of its constructor."""
    texts = [_doc(_underlying(value))]
    if isinstance(value, type):
        if is_dataclass(value) and texts[0].startswith(f"{value.__name__}("):
            texts = []
        texts.append(_doc(vars(value).get("__init__")))
    return "\n\n".join(filter(None, texts))


def _doc(value: object) -> str:
    doc = getattr(value, "__doc__", None)
    if not isinstance(doc, str) or doc == type(value).__doc__:
        return ""
    text = inspect.cleandoc(doc).strip()
    return "" if _GENERATED.match(text) else text


def _signature(found: _Found) -> str:
    """The call as one would write it, or "" where there is none or Python does not know it."""
    value = found.value
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, types.ModuleType) or not callable(value):
        return ""
    with contextlib.suppress(Exception):  # evaluates defaults, which may raise anything
        signature = inspect.signature(value)
        parameters = [_plain(parameter) for parameter in signature.parameters.values()]
        if _takes_self(found) and parameters and parameters[0].kind in _POSITIONAL:
            parameters = parameters[1:]
        return f"{found.name}{signature.replace(parameters=parameters)}"
    return ""


def _takes_self(found: _Found) -> bool:
    return "." in found.path and not isinstance(found.value, staticmethod | type)


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter, its default as `...` unless it is a constant that the source spells out.

    `cgi.parse` has `os.environ` for a default, others a stream or an address: what this process happens to
    hold is no documentation, and may be secret.
    """
    if parameter.default is inspect.Parameter.empty or _is_constant(parameter.default):
        return parameter
    return parameter.replace(default=...)


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_constant(part) for part in value)
    if isinstance(value, str) and len(value) > 1 and Path(value).is_absolute():
        return False  # a path of this installation
    return value is None or type(value) in {bool, int, float, complex, str, bytes}

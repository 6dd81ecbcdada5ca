"""pyspark's ways to a session, led to the one that is there.

Each of its modules is patched when it is imported, by whomever, so that nobody sees it unpatched.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from .cells import Cells
from .link import SparkLink
from .settings import split_for, warn

Patch = Callable[[ModuleType], None]


def install(link: SparkLink, cells: Cells) -> None:
    """Patch pyspark when it is imported.

    Parameters
    ----------
    link : SparkLink
        The way to the session.
    cells : Cells
        What runs.
    """
    patches = {
        "pyspark.context": functools.partial(_patch_context, link),
        "pyspark.sql.session": functools.partial(_patch_session, link),
        "pyspark.sql.utils": functools.partial(_patch_utils, link),
        "pyspark.ml.wrapper": functools.partial(_patch_ml, link),
        "pyspark.sql.streaming.readwriter": functools.partial(_patch_streaming, cells),
    }
    sys.meta_path.insert(0, _Finder(patches))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to be patched where Python would find them."""

    def __init__(self, patches: Mapping[str, Patch]) -> None:
        self._patches = patches

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        patch = self._patches.get(fullname)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, patch)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module with its own loader, and patches it; afterwards it is as if its own had done it."""

    def __init__(self, loader: Any, patch: Patch) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        if hasattr(self._loader, "exec_module"):
            self._loader.exec_module(module)
        else:  # zipimport before Python 3.10
            exec(self._loader.get_code(module.__name__), module.__dict__)
        self._patch(module)


def _patch_context(link: SparkLink, module: ModuleType) -> None:
    """Make SparkContext() and getOrCreate() the running one, and stop() harmless to the application."""
    owner: Any = module.SparkContext
    init, stop, get_or_create = owner.__init__, owner.stop, owner.getOrCreate.__func__

    def is_ours(cls: Any, options: Mapping[str, Any]) -> bool:
        given = options.get("gateway") is not None or options.get("jsc") is not None
        return cls is owner and not given and not link.is_attaching() and link.exists()

    def new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return link.session().sparkContext if is_ours(cls, kwargs) else object.__new__(cls)

    @functools.wraps(init)
    def patched_init(self: Any, *args: Any, **kwargs: Any) -> None:
        if getattr(self, "_jsc", None) is None:
            init(self, *args, **kwargs)
        else:
            _complain(link, _context_options(*args, **kwargs))

    @functools.wraps(get_or_create)
    def patched_get_or_create(cls: Any, conf: Any = None) -> Any:
        if not is_ours(cls, {}):
            return get_or_create(cls, conf)
        context = link.session().sparkContext
        _complain(link, _context_options(conf=conf))
        return context

    @functools.wraps(stop)
    def patched_stop(self: Any) -> None:
        if not link.release(self):
            stop(self)

    owner.__new__ = new
    owner.__init__ = patched_init
    owner.getOrCreate = classmethod(patched_get_or_create)
    owner.stop = patched_stop


def _patch_session(link: SparkLink, module: ModuleType) -> None:
    """Make the builder's session the one that is there, with what can be set set."""
    owner: Any = module.SparkSession
    builder = owner.Builder
    get_or_create, stop = builder.getOrCreate, owner.stop

    @functools.wraps(get_or_create)
    def patched_get_or_create(self: Any) -> Any:
        options = dict(self._options)
        if "spark.remote" in options or link.is_attaching() or not link.exists():
            return get_or_create(self)
        session = link.session()
        settable, ignored = split_for(session, options)
        other = type(self)()
        other._options = settable
        session = get_or_create(other)
        warn(ignored, session.sparkContext.applicationId, depth=2)
        return session

    @functools.wraps(stop)
    def patched_stop(self: Any) -> None:
        if not link.release(self._sc):
            stop(self)

    builder.getOrCreate = patched_get_or_create
    owner.stop = patched_stop
    for name in ("getActiveSession", "active"):
        if name in vars(owner):
            setattr(owner, name, classmethod(_settled(link, vars(owner)[name].__func__)))


def _patch_utils(link: SparkLink, module: ModuleType) -> None:
    """Let ``functions.col("x")`` and its like find a context, whether or not it is there in time."""
    name = "get_active_spark_context"
    if name in vars(module):
        setattr(module, name, _settled(link, vars(module)[name]))


def _patch_ml(link: SparkLink, module: ModuleType) -> None:
    """The same for ``pyspark.ml``."""
    owner: Any = module.JavaWrapper
    owner._new_java_obj = staticmethod(_settled(link, owner._new_java_obj))


def _patch_streaming(cells: Cells, module: ModuleType) -> None:
    """Start streaming queries outside of the cell: its interrupt must not end them."""
    owner: Any = module.DataStreamWriter

    def outside(method: Any) -> Any:
        @functools.wraps(method)
        def patched(*args: Any, **kwargs: Any) -> Any:
            with cells.outside():
                return method(*args, **kwargs)

        return patched

    for name in ("start", "toTable"):
        if hasattr(owner, name):
            setattr(owner, name, outside(getattr(owner, name)))


def _settled(link: SparkLink, function: Any) -> Any:
    @functools.wraps(function)
    def patched(*args: Any, **kwargs: Any) -> Any:
        link.settle()
        return function(*args, **kwargs)

    return patched


def _context_options(
    master: Any = None, appName: Any = None, sparkHome: Any = None, *args: Any, **kwargs: Any
) -> Dict[str, Any]:
    """The settings in the arguments of SparkContext()."""
    conf = kwargs.get("conf", args[4] if len(args) > 4 else None)
    options: Dict[str, Any] = dict(conf.getAll()) if conf is not None else {}
    if master:
        options["spark.master"] = master
    return options


def _complain(link: SparkLink, options: Mapping[str, Any]) -> None:
    session = link.session()
    settable, ignored = split_for(session, options)
    settable.pop("spark.app.name", None)
    warn(ignored + sorted(settable), session.sparkContext.applicationId, depth=3)

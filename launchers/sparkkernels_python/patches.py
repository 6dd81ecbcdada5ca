"""pyspark's ways to a session, led to the one that is there."""

from __future__ import annotations

import functools
from typing import Any, Dict, Mapping, Tuple

from .cells import Cells
from .imports import patch_on_import
from .link import SparkLink
from .settings import split_for, text, warn


def install(link: SparkLink, cells: Cells) -> None:
    """Patch pyspark when it is imported.

    Parameters
    ----------
    link : SparkLink
        The way to the session.
    cells : Cells
        What runs.
    """
    patch_on_import(
        {
            "pyspark.context": functools.partial(_patch_context, link),
            "pyspark.core.context": functools.partial(_patch_context, link),  # where Spark 4 has it
            "pyspark.sql.session": functools.partial(_patch_session, link),
            "pyspark.sql.streaming.readwriter": functools.partial(_patch_streaming, cells),
        }
    )


def _patch_context(link: SparkLink, module: Any) -> None:
    """Put a class in SparkContext's place of which there is one object: the application's."""
    plain: Any = module.SparkContext
    if hasattr(plain, "stop_here"):
        return  # Spark 4's pyspark.context, which has it from pyspark.core.context

    class Meta(type):
        """Lets code wait that asks for the context, or needs it: ``functions.col("x")``, ``pyspark.ml``."""

        _ours = None

        @property
        def _active_spark_context(cls) -> Any:
            if cls._ours is None and not link.is_attaching():
                link.settle()
            return cls._ours

        @_active_spark_context.setter
        def _active_spark_context(cls, context: Any) -> None:
            cls._ours = context

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            given = kwargs.get("gateway") is not None or kwargs.get("jsc") is not None
            if cls is not SparkContext or given or link.is_attaching() or not link.exists():
                return super().__call__(*args, **kwargs)
            return running(_context_options(*args, **kwargs))

    class SparkContext(plain, metaclass=Meta):  # type: ignore[misc]
        @classmethod
        def getOrCreate(cls, conf: Any = None) -> Any:
            if cls is not SparkContext or link.is_attaching() or not link.exists():
                return super().getOrCreate(conf)
            return running(_context_options(conf=conf))

        @classmethod
        def _ensure_initialized(cls, instance: Any = None, gateway: Any = None, conf: Any = None) -> None:
            if instance is None and not link.is_attaching() and link.exists():
                link.session()  # plain pyspark would start a JVM
            else:
                super()._ensure_initialized(instance, gateway, conf)

        def stop(self) -> None:
            # A second stop() of the same object must not touch the one that came after it.
            if not link.release(self) and getattr(self, "_jsc", None) is not None:
                super().stop()

        def stop_here(self) -> None:
            """Stop this object, and not the JVM's SparkContext."""
            self._jsc = None
            super().stop()

    def running(options: Mapping[str, Any]) -> Any:
        session = link.session()
        context = session.sparkContext
        settable, ignored = split_for(session, options)
        conf = context.getConf()
        for name, value in settable.items():
            if conf.get(name) != text(value):  # a SparkConf also has what the application has
                session.conf.set(name, text(value))
        warn(ignored, context.applicationId, depth=3)
        return context

    for name in ("__module__", "__qualname__", "__doc__"):
        setattr(SparkContext, name, getattr(plain, name))
    for name in ("getOrCreate", "stop"):
        vars(SparkContext)[name].__doc__ = getattr(plain, name).__doc__
    module.SparkContext = SparkContext


def _patch_session(link: SparkLink, module: Any) -> None:
    """Make the builder's session the one that is there, with what can be set set."""
    owner: Any = module.SparkSession
    builder = owner.Builder
    get_or_create, stop = builder.getOrCreate, owner.stop

    @functools.wraps(get_or_create)
    def patched_get_or_create(self: Any) -> Any:
        options = dict(self._options)
        if "spark.remote" in options or link.is_attaching() or not link.exists():
            return get_or_create(self)
        settable, ignored = split_for(link.session(), options)
        other = type(self)()
        other._options = settable
        session = get_or_create(other)
        warn(ignored, session.sparkContext.applicationId, depth=2)
        return session

    @functools.wraps(stop)
    def patched_stop(self: Any) -> None:
        if not link.release(self._sc) and self._sc._jsc is not None:
            stop(self)

    builder.getOrCreate = patched_get_or_create
    owner.stop = patched_stop


def _patch_streaming(cells: Cells, module: Any) -> None:
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


def _context_options(*args: Any, **kwargs: Any) -> Dict[str, Any]:
    """The settings in the arguments of SparkContext()."""
    names: Tuple[str, ...] = ("master", "appName", "sparkHome", "pyFiles", "environment")
    names += ("batchSize", "serializer", "conf")
    given = dict(zip(names, args), **kwargs)
    options: Dict[str, Any] = {}
    if given.get("conf") is not None:
        options.update(given["conf"].getAll())
    if given.get("master"):
        options["spark.master"] = given["master"]
    for name, value in (given.get("environment") or {}).items():
        options["spark.executorEnv." + name] = value
    return options

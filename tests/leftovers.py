"""What a kernel process leaves in a Spark application that outlives it, and what the next one must do.

The same for every master: the tests of both layers leave all of it, restart, and look for each.
"""

from __future__ import annotations

import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

#: Runs a cell that must succeed and gives its value.
Evaluate = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Leftover:
    """One thing of a kernel process.

    Attributes
    ----------
    what : str
    leave : str
        A cell that leaves it; its value, if it has one, goes into ``look`` as ``{left}``. ``{directory}`` is
        one of the test's own.
    look : str
        An expression whose value changes with it.
    clean : str
        The expression's value where there is nothing; "" when a new kernel can tell before.
    """

    what: str
    leave: str
    look: str
    clean: str = ""


#: The driver's BlockManager. py4j looks at all methods of a class to call one, and those of Spark 4.3's
#: SparkEnv mention classes that PyPI's pyspark does not bring along.
BLOCKS = (
    "(lambda lang: lang.invoke.MethodHandles.publicLookup().findVirtual("
    "lang.Class.forName('org.apache.spark.SparkEnv'), 'blockManager', lang.invoke.MethodType.methodType("
    "lang.Class.forName('org.apache.spark.storage.BlockManager'))).invokeWithArguments([sc._jsc.sc().env()])"
    ")(sc._jvm.java.lang)"
)
ON_EXECUTORS = "any(sc.parallelize(range(4), 4).map(lambda _: {}).collect())"

LEFTOVERS = [
    Leftover("variables", "x = 1", "'x' in globals()"),
    Leftover("imported modules", "import colorsys", "'colorsys' in __import__('sys').modules"),
    Leftover(
        "RDDs that are persisted",
        "sc.parallelize(range(9)).cache().count()",
        "len(sc._jsc.getPersistentRDDs())",
    ),
    Leftover(
        "locally checkpointed data",
        "spark.range(5).localCheckpoint()",
        "sc._jsc.sc().getRDDStorageInfo().__len__()",
    ),
    Leftover(
        "cached DataFrames",
        "spark.range(10).cache().count()",
        "'InMemory' in spark.range(10)._jdf.queryExecution().withCachedData().toString()",
    ),
    Leftover(
        "cached tables",
        "spark.range(7).createOrReplaceTempView('seven'); spark.sql('CACHE TABLE seven')",
        "'InMemory' in spark.range(7)._jdf.queryExecution().withCachedData().toString()",
    ),
    Leftover(
        "broadcasts, on driver and executors",
        """
held = sc.broadcast(list(range(1000)))
assert sc.parallelize([0], 1).map(lambda _: len(held.value)).collect() == [1000]
held._jbroadcast.id()
""",
        f"{BLOCKS}.master().getLocations("
        "sc._jvm.org.apache.spark.storage.BroadcastBlockId({left}, 'piece0')).size()",
        "0",
    ),
    Leftover("files of broadcasts", "sc._temp_dir", "__import__('os').path.exists({left})", "False"),
    Leftover(
        "accumulators",
        """
counted = sc.accumulator(0)
sc.parallelize([1, 2], 1).foreach(counted.add)
assert counted.value == 3
sc._javaAccumulator.id()
""",
        "sc._jvm.org.apache.spark.util.AccumulatorContext.get({left}).isDefined()",
        "False",
    ),
    Leftover(
        "temporary views",
        "spark.range(3).createOrReplaceTempView('view')",
        "[table.name for table in spark.catalog.listTables()]",
    ),
    Leftover(
        "global temporary views",
        "spark.range(3).createOrReplaceGlobalTempView('global_view')",
        "[table.name for table in spark.catalog.listTables('global_temp')]",
    ),
    Leftover(
        "settings of the session",
        "spark.conf.set('spark.sql.shuffle.partitions', '17')",
        "spark.conf.get('spark.sql.shuffle.partitions')",
    ),
    Leftover(
        "registered functions",
        "spark.udf.register('plus', lambda x: x + 1, 'long')",
        "spark.catalog.functionExists('plus')",
    ),
    Leftover(
        "the current database",
        "spark.sql(\"CREATE DATABASE other LOCATION 'file:{directory}/other'\")\n"
        "spark.catalog.setCurrentDatabase('other')",
        "spark.catalog.currentDatabase()",
    ),
    Leftover("added files", "sc.addFile('{directory}/left.txt')", "sc.listFiles"),
    Leftover(
        "added files, on executors",
        "from pyspark import SparkFiles\n" + ON_EXECUTORS.format("open(SparkFiles.get('left.txt')).read()"),
        ON_EXECUTORS.format("__import__('os').path.exists(__import__('pyspark').SparkFiles.get('left.txt'))"),
        "False",
    ),
    Leftover("added jars", "sc._jsc.addJar('{directory}/left.jar')", "sc._jsc.sc().listJars().mkString()"),
    Leftover("added archives", "sc.addArchive('{directory}/left.zip#unpacked')", "sc.listArchives"),
    Leftover(
        "added archives, on executors",
        ON_EXECUTORS.format("__import__('os').listdir(__import__('pyspark').SparkFiles.get('unpacked'))"),
        ON_EXECUTORS.format("__import__('os').path.exists(__import__('pyspark').SparkFiles.get('unpacked'))"),
        "False",
    ),
    Leftover("added modules", "sc.addPyFile('{directory}/shipped.py')", "'shipped.py' in str(sc.listFiles)"),
    Leftover(
        "Python workers and the modules that they imported",
        "import os\nsc.parallelize([0], 1).map(lambda _: [__import__('shipped'), os.getppid()][1]).first()",
        "__import__('os').path.exists('/proc/{left}')",
        "False",
    ),
    Leftover(
        "Hadoop's settings",
        "sc._jsc.hadoopConfiguration().set('old.kernel', 'yes')",
        "str(sc._jsc.hadoopConfiguration().get('old.kernel'))",
    ),
    Leftover(
        "the checkpoint directory",
        "sc.setCheckpointDir('file:{directory}/points')",
        "str(sc.getCheckpointDir())",
    ),
    Leftover(
        "the log level",
        "sc.setLogLevel('ERROR')",
        "sc._jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString()",
    ),
    Leftover(
        "streaming queries",
        "spark.readStream.format('rate').load().writeStream.format('noop').start()",
        "spark._jsparkSession.sharedState().activeStreamingQueries().size()",
        "0",
    ),
    Leftover(
        "running jobs",
        """
import threading, time
job = sc.parallelize([0], 1).map(lambda _: time.sleep(600))
threading.Thread(target=job.count, daemon=True).start()
while not sc.statusTracker().getActiveJobsIds():
    time.sleep(0.05)
""",
        "len(sc.statusTracker().getActiveJobsIds())",
        "0",
    ),
]

#: Cells of the new kernel, and their values.
WITHOUT_PANDAS = [
    ("sc.parallelize([3, 4]).map(lambda n: n + 1).collect()", "[4, 5]"),
    (
        "from pyspark.sql.functions import udf\n"
        "spark.range(2).select(udf(lambda n: n + 1, 'long')('id').alias('n')).collect()",
        "[Row(n=1), Row(n=2)]",
    ),
    ("seen = sc.accumulator(0)\nsc.parallelize([1, 2]).foreach(seen.add)\nseen.value", "3"),
    ("told = sc.broadcast('told')\nsc.parallelize([0], 1).map(lambda _: told.value).collect()", "['told']"),
]
WORKS = [
    *WITHOUT_PANDAS,
    ("int(spark.range(5).toPandas()['id'].sum())", "10"),
    ("import pandas\nspark.createDataFrame(pandas.DataFrame({'n': [1, 2]})).count()", "2"),
    (
        "from pyspark.sql.functions import pandas_udf\n"
        "spark.range(3).select(pandas_udf(lambda n: n * 2, 'long')('id').alias('n')).collect()",
        "[Row(n=0), Row(n=2), Row(n=4)]",
    ),
]


def prepare(directory: Path) -> None:
    """Make the files that :data:`LEFTOVERS` add."""
    (directory / "left.txt").write_text("left")
    (directory / "shipped.py").write_text("answer = 'old'\n")
    for name in ("left.jar", "left.zip"):
        with zipfile.ZipFile(directory / name, "w") as archive:
            archive.writestr("inside.txt", "inside")


async def leave_all(value: Evaluate, directory: Path) -> dict[str, tuple[str, str]]:
    """Leave all of it, and see that it is there.

    Returns
    -------
    dict of str to tuple of (str, str)
        By what it is: the expression that looks for it, and its value where there is nothing.
    """
    prepare(directory)
    clean = {each.what: each.clean or await value(each.look) for each in LEFTOVERS}
    looks: dict[str, tuple[str, str]] = {}
    for leftover in LEFTOVERS:
        before = clean[leftover.what] if leftover.clean else await value(leftover.look)
        left = await value(leftover.leave.replace("{directory}", str(directory)))
        look = leftover.look.replace("{left}", left)
        assert await value(look) != before, f"{leftover.what}: not there"
        looks[leftover.what] = look, clean[leftover.what]
    return looks

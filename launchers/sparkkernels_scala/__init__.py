"""The launcher process of Scala kernels: has Toree run in the application's JVM, and lives as long.

Runs on the worker: Python 3.8 or newer, standard library and the py4j that comes with Spark.
"""

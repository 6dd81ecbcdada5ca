"""The launcher process of R kernels: runs IRkernel as its child, and tells R of the application's Spark.

Runs on the worker: Python 3.8 or newer, standard library only.
"""

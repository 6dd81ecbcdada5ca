"""The supervisor: keeps one Spark application and its kernel process, and dials the relay.

Runs on any Python >= 3.8 with what Spark ships (the standard library and py4j).
"""

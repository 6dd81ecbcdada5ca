"""The Python kernel: an ipykernel whose ``spark`` and ``sc`` belong to the application it runs in.

Runs on any Python >= 3.8 with ipykernel and pyspark; ``python -m sparkkernels_python -f CONNECTION_FILE``.
"""

"""The tests of sparkkernels."""

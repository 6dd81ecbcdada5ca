"""Tests on a real Hadoop cluster, and the command that runs one."""

"""The command line: `jupyter sparkkernels …`."""

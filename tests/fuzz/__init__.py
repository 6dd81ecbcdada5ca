"""Random bytes against the protocol: a target, a generator of likely inputs, and atheris's way in."""

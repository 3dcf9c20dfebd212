"""One folder a framework, named as the framework is imported; the folder is found, never listed."""

"""Testing: the pytest plugin, and assertions about runs."""

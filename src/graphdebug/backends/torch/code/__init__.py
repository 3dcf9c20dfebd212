"""The user's source: the line of each op, also out of frames and graphs that a compiler made."""

"""Forms: one faulty program written in the many ways that real code is written, its fault lines followed."""

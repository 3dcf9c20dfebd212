"""The demo: a CNN that takes one image size, fed another, in a dynamic and in a static graph."""

"""What TensorFlow's runtime makes of the functions that a program calls."""

from __future__ import annotations

from tensorflow.python.eager import context


def optimized_graphs(work):
    """Return the nodes of each function graph that `work` runs, as the runtime has optimized it."""
    context.context().clear_kernel_cache()  # else it has them ready, and does not show them
    context.enable_run_metadata()
    try:
        work()
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    return [graph.post_optimization_graph.node for graph in graphs]

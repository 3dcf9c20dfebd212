"""One graph for all steps against a graph made anew in every step, with the measured cost of each.

TensorFlow 1 builds its graph once and runs it many times (static); PyTorch makes the autograd graph in
every step (dynamic). A common mistake in TF1 is to build inside the loop: the static graph then grows.
"""

import time

import numpy as np
import tensorflow as tf
import torch

import graphdebug

STEPS = 30
tf1 = tf.compat.v1
tf1.disable_eager_execution()


def static_graph() -> float:
    """Build once, run in every step; return seconds a step."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 64])
        y = tf.reduce_sum(tf.tanh(tf.matmul(x, tf.ones([64, 64]))))
        started = time.perf_counter()
        for _ in range(STEPS):
            session.run(y, {x: np.ones((8, 64))})
        nodes = len(tf1.get_default_graph().get_operations())
        print(f"  TF1, built once: {nodes} nodes after {STEPS} steps")
        return (time.perf_counter() - started) / STEPS


def growing_graph() -> float:
    """Build again in every step, the mistake; return seconds a step."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 64])
        started = time.perf_counter()
        for _ in range(STEPS):
            y = tf.reduce_sum(tf.tanh(tf.matmul(x, tf.ones([64, 64]))))
            session.run(y, {x: np.ones((8, 64))})
        nodes = len(tf1.get_default_graph().get_operations())
        print(f"  TF1, built in the loop: {nodes} nodes after {STEPS} steps")
        return (time.perf_counter() - started) / STEPS


def dynamic_graph() -> float:
    """Run and differentiate; the graph is made and freed in every step; return seconds a step."""
    weights = torch.ones(64, 64, requires_grad=True)
    started = time.perf_counter()
    for _ in range(STEPS):
        torch.tanh(torch.ones(8, 64) @ weights).sum().backward()
    print("  PyTorch, made in every step: autograd's graph is freed after each backward")
    return (time.perf_counter() - started) / STEPS


for example in (static_graph, growing_graph, dynamic_graph):
    print(f"{example.__name__}:")
    example()  # warm up
    plain = example()
    with graphdebug.record(f"{example.__name__}.jsonl", level="shapes") as run:
        recorded = example()
    print(f"  {plain * 1e3:.2f} ms a step, {recorded * 1e3:.2f} ms recorded; {len(run.nodes)} nodes in the log")

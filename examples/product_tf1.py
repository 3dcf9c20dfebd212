"""c = a * b in TensorFlow 1: the graph is built first, and a session runs it later."""

import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1
tf1.disable_eager_execution()

a = tf1.placeholder(tf.float32, name="a")
b = tf1.placeholder(tf.float32, name="b")
c = tf.multiply(a, b, name="c")
gradient_a, gradient_b = tf.gradients(c, [a, b])

with graphdebug.record("product_tf1.jsonl", level="values", gradients="all") as run, tf1.Session() as session:
    results = session.run([c, gradient_a, gradient_b], feed_dict={a: 15.0, b: 20.0})

print("c = {:g}, dc/da = {:g}, dc/db = {:g}".format(*results))
for node in run.nodes:
    built, values = node.site.line if node.site else "?", [fact.values for fact in node.outputs]
    print(f"{node.phase:9} {node.name:24} built on line {built}  {values}")
for gradient in run.gradients:
    print(f"gradient of {gradient.name or f'node {gradient.node}'}: {gradient.fact.values}")

# learns nothing: the weights of a hidden layer and of the layer behind it begin at 0
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 8])
y = tf.placeholder(tf.float32, [None, 1])
w1 = tf.Variable(tf.zeros([8, 16]))  # FAULT: w1 = tf.Variable(tf.random_normal([8, 16], stddev=0.3))
b1 = tf.Variable(tf.zeros([16]))
w2 = tf.Variable(tf.zeros([16, 1]))  # FAULT: w2 = tf.Variable(tf.random_normal([16, 1], stddev=0.3))
guess = tf.matmul(tf.nn.relu(tf.matmul(x, w1) + b1), w2)
loss = tf.reduce_mean(tf.square(guess - y))
train = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(4):
        data = rng.rand(20, 8)
        print("step", step, "loss", sess.run([loss, train], {x: data, y: data[:, :1] ** 2})[0])

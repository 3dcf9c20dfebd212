# shape: a CNN for 28x28 images is fed 100x100
import tensorflow as tf


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        init = tf.random.Generator.from_seed(1)
        self.k1 = tf.Variable(init.normal([5, 5, 1, 16], stddev=0.1))
        self.k2 = tf.Variable(init.normal([5, 5, 16, 32], stddev=0.1))
        self.w = tf.Variable(init.normal([7 * 7 * 32, 10], stddev=0.05))  # FAULT: self.w = tf.Variable(init.normal([25 * 25 * 32, 10], stddev=0.05))
        self.b = tf.Variable(tf.zeros([10]))

    # COMPILED: @tf.function
    def __call__(self, x):
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, self.k1, 1, "SAME")), 2, 2, "SAME")
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, self.k2, 1, "SAME")), 2, 2, "SAME")
        x = tf.reshape(x, [tf.shape(x)[0], x.shape[1] * x.shape[2] * x.shape[3]])
        return tf.matmul(x, self.w) + self.b  # FAULT


tf.random.set_seed(0)
net = Net()
for step in range(2):
    images = tf.random.uniform([4, 100, 100, 1])
    labels = tf.random.uniform([4], 0, 10, tf.int32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, net(images)))
    for variable, gradient in zip(net.trainable_variables, tape.gradient(loss, net.trainable_variables)):
        variable.assign_sub(0.01 * gradient)
    print("step", step, "loss", float(loss))

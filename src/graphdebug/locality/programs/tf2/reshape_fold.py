# silent fold: a reshape to a fixed width turns 4 images into 64 rows and the loss fails
import tensorflow as tf

init = tf.random.Generator.from_seed(2)
kernel = tf.Variable(init.normal([3, 3, 1, 16], stddev=0.1))
weights = tf.Variable(init.normal([16 * 7 * 7, 10], stddev=0.05))  # MENDED: weights = tf.Variable(init.normal([16 * 28 * 28, 10], stddev=0.05))


# COMPILED: @tf.function
def loss_of(images, labels):
    x = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "SAME"))
    x = tf.nn.max_pool2d(x, 2, 2, "SAME")
    x = tf.reshape(x, [-1, 16 * 7 * 7])  # FAULT: x = tf.reshape(x, [-1, 16 * 28 * 28])
    logits = tf.matmul(x, weights)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


for step in range(2):
    images, labels = tf.random.uniform([4, 112, 112, 1], seed=1), tf.constant([1, 7, 0, 3])
    with tf.GradientTape() as tape:
        loss = loss_of(images, labels)
    gradients = tape.gradient(loss, [kernel, weights])
    kernel.assign_sub(0.01 * gradients[0])
    weights.assign_sub(0.01 * gradients[1])
    print("step", step, "loss", float(loss))

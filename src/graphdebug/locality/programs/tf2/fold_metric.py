# silent fold: the accuracy compares more predictions than there are labels
import tensorflow as tf

init = tf.random.Generator.from_seed(4)
kernel = tf.Variable(init.normal([3, 3, 1, 4]))
head = tf.Variable(init.normal([4 * 5 * 5, 3]))  # MENDED: head = tf.Variable(init.normal([4 * 15 * 15, 3]))


# COMPILED: @tf.function
def predict(images):
    maps = tf.nn.avg_pool2d(tf.nn.conv2d(images, kernel, 1, "VALID"), 2, 2, "VALID")
    flat = tf.reshape(maps, (-1, 4 * 5 * 5))  # FAULT: flat = tf.reshape(maps, (-1, 4 * 15 * 15))
    return tf.argmax(tf.matmul(flat, head), axis=1)


images = tf.random.stateless_uniform([5, 32, 32, 1], seed=[0, 1])
labels = tf.constant([0, 1, 2, 1, 0], tf.int64)
accuracy = tf.reduce_mean(tf.cast(tf.equal(predict(images), labels), tf.float32))
print("accuracy", float(accuracy))

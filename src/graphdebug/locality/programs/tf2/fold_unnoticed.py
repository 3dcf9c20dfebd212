# silent fold: a reshape mixes several images and nothing ever fails
import tensorflow as tf

init = tf.random.Generator.from_seed(3)
kernel = tf.Variable(init.normal([3, 3, 3, 8], stddev=0.1))
score = tf.Variable(init.normal([8 * 14 * 14, 1], stddev=0.05))  # MENDED: score = tf.Variable(init.normal([8 * 28 * 28, 1], stddev=0.05))


# COMPILED: @tf.function
def critic(images):
    maps = tf.nn.relu(tf.nn.conv2d(images, kernel, strides=2, padding="SAME"))
    flat = tf.reshape(maps, [-1, 8 * 14 * 14])  # FAULT: flat = tf.reshape(maps, [len(images), -1])
    return tf.matmul(flat, score)


for epoch in range(3):
    real = tf.random.stateless_uniform([6, 56, 56, 3], seed=[epoch, 0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.relu(1 - critic(real)))
    for variable, gradient in zip([kernel, score], tape.gradient(loss, [kernel, score])):
        variable.assign_sub(0.001 * gradient)
    print(f"epoch {epoch}: hinge loss {float(loss):.4f}")

# shape: weights of 1000 classes are loaded into a layer of 10
import tensorflow as tf


def head(classes):
    layer = tf.keras.layers.Dense(classes)
    layer.build((None, 32))
    return layer


saved = head(1000).get_weights()
layer = head(10)  # FAULT: layer = head(1000)
layer.set_weights(saved)  # FAULT
print(layer(tf.zeros([2, 32])).shape)

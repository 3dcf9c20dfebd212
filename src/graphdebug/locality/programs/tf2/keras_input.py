# shape: a Keras model's dense layer was built on pictures of another size
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
model = tf.keras.Sequential(
    [
        tf.keras.Input((28, 28, 1)),  # FAULT: tf.keras.Input((32, 32, 1)),
        tf.keras.layers.Conv2D(8, 3, activation="relu"),
        tf.keras.layers.MaxPooling2D(),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(10),  # FAULT
    ]
)
images = tf.random.stateless_uniform([4, 32, 32, 1], seed=[1, 1])  # FAULT
print(model(images).shape)  # FAULT

import tensorflow as tf

tf.debugging.enable_check_numerics()

"""Programs with one fault each, in eager TensorFlow and tf.function: ``# <- fault`` marks where it was born."""

import keras
import numpy as np
import tensorflow as tf


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv1 = keras.layers.Conv2D(8, 3, padding="same", activation="relu")
        self.pool = keras.layers.MaxPooling2D()
        self.conv2 = keras.layers.Conv2D(64, 3, padding="same", activation="relu")
        self.out = keras.layers.Dense(10)

    def call(self, x):
        x = self.pool(self.conv1(x))
        x = self.pool(self.conv2(x))
        x = tf.reshape(x, [-1, 3136])  # <- fault: fold
        return self.out(x)


def fold_fails_in_loss():
    logits = Net()(tf.random.normal([49, 100, 100, 1]))
    labels = tf.zeros([49], tf.int32)
    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def fold_never_fails():
    tf.argmax(Net()(tf.random.normal([49, 100, 100, 1])), 1)


def weight_for_another_image():
    w = tf.Variable(tf.random.normal([784, 10]))  # <- fault: dense
    x = tf.random.normal([5, 20, 20, 1])
    x = tf.reshape(x, [5, -1])
    tf.matmul(x, w)


def dense_for_another_image():
    kernel = tf.Variable(tf.random.normal([3, 3, 1, 4]))
    w = tf.Variable(tf.random.normal([14 * 14 * 4, 10]))  # <- fault: dense behind conv
    x = tf.random.normal([5, 40, 40, 1])
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "VALID")
    x = tf.reshape(x, [tf.shape(x)[0], -1])
    tf.matmul(x, w)


def channels_first_to_conv():
    images = tf.random.uniform([4, 3, 32, 32])  # <- fault: channels
    tf.nn.conv2d(images, tf.Variable(tf.random.normal([3, 3, 3, 8])), 1, "SAME")


def labels_transposed():
    logits = tf.random.normal([6, 4])
    labels = tf.transpose(tf.one_hot(tf.zeros([6], tf.int32), 4))  # <- fault: transposed
    tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def product_needs_transpose():
    q = tf.random.normal([5, 16])
    k = tf.random.normal([5, 16])
    tf.matmul(q, k)  # <- fault: product


def reshape_of_wrong_size():
    x = tf.random.normal([8, 5, 5, 20])
    tf.reshape(x, [-1, 320])  # <- fault: reshape


def log_of_zero():
    w = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.math.log(w * [0.0, 1.0]))  # <- fault: log
    tape.gradient(loss, w)


def square_root_at_zero():
    w = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sqrt(w))  # <- fault: sqrt
    tape.gradient(loss, w)


def masked_log():
    x = tf.Variable([0.0, 1.0, 2.0])
    with tf.GradientTape() as tape:
        y = tf.where(x > 0, tf.math.log(x), 0.0)  # <- fault: masked log
        loss = tf.reduce_sum(y)
    print(tape.gradient(loss, x).numpy())


def exp_overflows():
    a = tf.Variable([10.0, 100.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.math.log(tf.exp(a) + 1))  # <- fault: exp
    tape.gradient(loss, a)


def step_size_too_large():
    x = tf.random.stateless_normal([32, 3], [1, 2]) * 50
    y = tf.reduce_sum(x, 1, keepdims=True)
    w = tf.Variable(tf.zeros([3, 1]))
    opt = keras.optimizers.SGD(0.5)  # <- fault: step size
    for _ in range(40):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        opt.apply_gradients([(tape.gradient(loss, w), w)])


def float64_input():
    w = tf.Variable(tf.random.normal([3, 2]))
    x = tf.constant(np.random.rand(4, 3))  # <- fault: float64
    tf.matmul(x, w)


def label_out_of_range():
    w = tf.Variable(tf.random.normal([3, 5]))  # <- fault: classes
    logits = tf.matmul(tf.random.normal([2, 3]), w)
    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[1, 5], logits=logits)


def column_against_row():
    w = tf.Variable(tf.random.normal([3, 1]))
    y = tf.random.uniform([8])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((tf.matmul(tf.random.normal([8, 3]), w) - y) ** 2)  # <- fault: broadcast
    tape.gradient(loss, w)


def softmax_twice():
    w = tf.Variable(tf.random.normal([3, 4]))
    p = tf.nn.softmax(tf.matmul(tf.random.normal([8, 3]), w))  # <- fault: twice
    tf.nn.softmax_cross_entropy_with_logits(labels=tf.one_hot(tf.zeros([8], tf.int32), 4), logits=p)


@tf.function
def _traced_log(w):
    return tf.reduce_sum(tf.math.log(w * [0.0, 1.0]))  # <- fault: traced log


def log_of_zero_in_function():
    w = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = _traced_log(w)
    tape.gradient(loss, w)


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, None, 1]),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([784, 10]),
    ]
)
def _traced_loss(x, labels, w):
    h = tf.reshape(x, [-1, 784])  # <- fault: traced fold
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=tf.matmul(h, w))


def fold_in_function():
    w = tf.Variable(tf.random.normal([784, 10]))
    _traced_loss(tf.random.normal([49, 40, 40, 1]), tf.zeros([49], tf.int32), w)


class Classifier(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(8, activation="relu")
        self.out = keras.layers.Dense(3)

    def call(self, x):
        p = tf.nn.softmax(self.out(self.first(x)))
        return tf.math.log(p - 1.0)  # <- fault: in fit


def fit_turns_nan():
    model = Classifier()
    model.compile("sgd", "mse")
    model.fit(np.random.rand(16, 4), np.zeros([16, 3]), epochs=1, batch_size=8, verbose=0)


def _compiled(*layers, loss):
    model = keras.Sequential([keras.layers.Input((4,)), *layers])
    model.compile("sgd", loss)
    return model


def loss_chosen_for_other_labels():
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")  # <- fault: the labels are class numbers
    model.fit(np.ones([8, 4]), np.zeros(8), verbose=0)


def no_softmax_before_a_loss_on_probabilities():
    last = keras.layers.Dense(3)  # <- fault: no softmax
    model = _compiled(last, loss="sparse_categorical_crossentropy")
    model.fit(np.ones([8, 4]), np.zeros(8), verbose=0)


def softmax_of_a_layer_with_one_unit():
    last = keras.layers.Dense(1, activation="softmax")  # <- fault: of one number
    _compiled(last, loss="binary_crossentropy").fit(np.ones([8, 4]), np.zeros(8), verbose=0)


def predict_on_another_size():
    model = _compiled(keras.layers.Dense(1), loss="mse")
    model.fit(np.ones([8, 4]), np.zeros(8), verbose=0)
    wider = np.ones([2, 5])  # <- fault: 4 were learnt from
    model.predict(wider, verbose=0)


def rows_of_unequal_length():
    rows = np.array([[1.0, 2.0], [3.0]], dtype=object)  # <- fault: not padded
    model = _compiled(keras.layers.Dense(1), loss="mse")
    model.fit(rows, np.zeros(2), verbose=0)


def _apply(tape, loss, *variables):
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def loss_of_plain_numbers():
    w = tf.Variable(tf.ones([3, 1]))
    with tf.GradientTape() as tape:
        guess = tf.matmul(tf.ones([5, 3]), w).numpy()  # <- fault: without history
        loss = tf.reduce_mean(tf.square(guess - tf.ones([5, 1])))
    _apply(tape, loss, w)


def prediction_made_before_the_tape():
    w = tf.Variable(tf.ones([3, 1]))
    guess = tf.matmul(tf.ones([5, 3]), w)  # <- fault: no tape was open
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(guess - 2.0))
    _apply(tape, loss, w)


def gradient_by_a_constant():
    x = tf.constant([1.0, 2.0])  # <- fault: not watched
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(x * x)
    slope = tape.gradient(total, x)
    assert slope is None


@tf.function
def _trained(w, x):
    with tf.GradientTape() as tape:
        guess = tf.one_hot(tf.argmax(tf.matmul(x, w), 1), 3)  # <- fault: no gradient passes
        loss = tf.reduce_mean(tf.square(guess - 1.0))
    _apply(tape, loss, w)


def one_hot_of_a_guess_in_a_function():
    _trained(tf.Variable(tf.ones([4, 3])), tf.ones([5, 4]))


@tf.function
def _layer_with_a_weight(x):
    w = tf.Variable(tf.ones([4, 2]))  # <- fault: made in the function
    return tf.matmul(x, w)


def variable_made_in_a_function():
    _layer_with_a_weight(tf.ones([1, 4]))
    _layer_with_a_weight(tf.ones([2, 4]))


def every_step_against_one_label():
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            keras.layers.GRU(4),
            keras.layers.RepeatVector(5),
            keras.layers.GRU(4, return_sequences=True),  # <- fault: keeps all steps
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer="sgd", loss="categorical_crossentropy")
    model.fit(np.zeros([8, 5, 3]), np.eye(3)[np.zeros(8, int)], verbose=0)


def input_declared_by_the_number_of_rows():
    model = keras.Sequential()
    model.add(keras.Input((40,)))  # <- fault: input
    model.add(keras.layers.Dense(4))
    model.compile(optimizer="sgd", loss="mse")
    model.fit(np.zeros([40, 6]), np.zeros([40, 4]), verbose=0)


def inputs_in_another_order():
    a, b = keras.Input((6,)), keras.Input((4,))
    model = keras.Model([a, b], keras.layers.Dense(1)(keras.layers.concatenate([a, b])))
    model.compile(optimizer="sgd", loss="mse")
    model.fit([np.zeros([8, 4]), np.zeros([8, 6])], np.zeros([8, 1]), verbose=0)  # <- fault: order


class _Residual(keras.layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.wide = keras.layers.Dense(units, activation="relu")
        self.back = keras.layers.Dense(units)

    def call(self, x):
        return x + self.back(self.wide(x))


def block_of_another_width():
    first = _Residual(8)
    second = _Residual(16)  # <- fault: the sum needs 8
    second(first(tf.ones([4, 8])))


def variable_replaced_by_its_update():
    w, x = tf.Variable(tf.ones([3, 1])), tf.ones([4, 3])
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.matmul(x, w))
        slope = tape.gradient(loss, [w])[0]
        w = w - 0.1 * slope  # <- fault: no variable any more


def decoder_without_padding():
    image = keras.Input((8, 8, 1))
    hidden = keras.layers.MaxPooling2D(2)(image)
    hidden = keras.layers.Conv2D(4, 3)(hidden)  # <- fault: no padding
    again = keras.layers.Conv2D(1, 3, padding="same")(keras.layers.UpSampling2D(2)(hidden))
    model = keras.Model(image, again)
    model.compile(optimizer="sgd", loss="mse")
    model.fit(np.ones([4, 8, 8, 1]), np.ones([4, 8, 8, 1]), verbose=0)


def update_by_a_gradient_that_is_none():
    w, unused = tf.Variable(tf.ones((2, 1))), tf.Variable(tf.ones(3), name="unused")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(tf.ones((4, 2)) @ w))
    for variable, gradient in zip((w, unused), tape.gradient(loss, (w, unused)), strict=True):
        variable.assign_sub(gradient)  # <- fault: None for the second

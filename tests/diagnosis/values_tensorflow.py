"""TensorFlow programs whose values or learning are wrong at the default level, one fault each."""

import numpy as np
import tensorflow as tf

keras = tf.keras
tf1 = tf.compat.v1


def _data(width=8, scale=1.0):
    random = np.random.default_rng(0)
    x = (random.standard_normal((32, width)) * scale).astype(np.float32)
    return x, random.integers(0, 3, 32)


def _cross_entropy(y, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))


def loss_that_runs_away_eagerly():
    x, _ = _data(4, 20.0)
    w = tf.Variable(tf.zeros([4, 1]))
    optimizer = keras.optimizers.SGD(0.1)  # <- fault
    for _ in range(8):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.matmul(x, w) - tf.reduce_sum(x, 1, keepdims=True)) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])


def loss_that_runs_away_in_a_function():
    x, _ = _data(4, 20.0)
    w = tf.Variable(tf.zeros([4, 1]))
    optimizer = keras.optimizers.SGD(0.1)  # <- fault

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.matmul(x, w) - tf.reduce_sum(x, 1, keepdims=True)) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
        return loss

    for _ in range(8):
        step(x)


def loss_that_runs_away_in_a_session():
    data, _ = _data(4, 20.0)
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, 4])
        w = tf1.get_variable("w", [4, 1])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - tf.reduce_sum(x, 1, keepdims=True)))
        train = tf1.train.GradientDescentOptimizer(0.1).minimize(loss)  # <- fault
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(8):
                session.run([train, loss], {x: data})


def loss_that_runs_away_in_fit():
    x, _ = _data(4, 20.0)
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")  # <- fault
    model.fit(x, x.sum(1, keepdims=True), epochs=8, batch_size=32, verbose=0)


def units_dead_in_a_function():
    x, y = _data()
    body = keras.layers.Dense(16, "relu", bias_initializer=keras.initializers.Constant(-50.0))  # <- fault
    head = keras.layers.Dense(3)
    optimizer = keras.optimizers.SGD(0.01)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = body.trainable_variables + head.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for _ in range(6):
        step(x, y)


def units_dead_eagerly():
    x, y = _data()
    body = keras.layers.Dense(16, "relu", bias_initializer=keras.initializers.Constant(-50.0))  # <- fault
    head = keras.layers.Dense(3)
    optimizer = keras.optimizers.SGD(0.01)
    for _ in range(6):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = body.trainable_variables + head.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def units_dead_in_a_session():
    data, labels = _data()
    with tf.Graph().as_default():
        x, y = tf1.placeholder(tf.float32, [None, 8]), tf1.placeholder(tf.int64, [None])
        w = tf1.get_variable("w", [8, 16])
        b = tf1.get_variable("b", [16], initializer=tf1.constant_initializer(-50.0))  # <- fault
        v = tf1.get_variable("v", [16, 3])
        c = tf1.get_variable("c", [3])
        loss = _cross_entropy(y, tf.matmul(tf.nn.relu(tf.matmul(x, w) + b), v) + c)
        train = tf1.train.GradientDescentOptimizer(0.01).minimize(loss)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(6):
                session.run([train, loss], {x: data, y: labels})


def units_dead_in_fit():
    x, y = _data()
    model = keras.Sequential([keras.Input([8])])
    model.add(keras.layers.Dense(16, "relu", bias_initializer=keras.initializers.Constant(-50.0)))  # <- fault
    model.add(keras.layers.Dense(3))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=6, batch_size=32, verbose=0)


def gradients_that_vanish_in_fit():
    x, y = _data()
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(8, "sigmoid") for _ in range(10)]  # <- fault
    model = keras.Sequential([keras.Input([8]), *hidden, keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=6, batch_size=32, verbose=0)


def layer_that_a_tape_forgets():
    x, y = _data()
    body = keras.layers.Dense(16, "relu")
    gate = keras.layers.Dense(16)  # <- fault
    head = keras.layers.Dense(3)
    gate.build((None, 8))
    optimizer = keras.optimizers.SGD(0.01)
    for _ in range(4):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = body.trainable_variables + gate.trainable_variables + head.trainable_variables  # <- fault
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


class Forgetful(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = keras.layers.Dense(16, "relu")
        self.gate = keras.layers.Dense(16)  # <- fault
        self.head = keras.layers.Dense(3)

    def call(self, x):
        hidden = self.body(x)
        self.gate(x)
        return self.head(hidden)


def layer_that_call_forgets():
    x, y = _data()
    model = Forgetful()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=4, batch_size=32, verbose=0)


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = keras.layers.Dense(16, "relu")
        self.head = keras.layers.Dense(3)

    def call(self, x):
        return self.head(self.body(x))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, self.head(tf.stop_gradient(self.body(x))))  # <- fault
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def gradient_stopped_in_a_train_step():
    x, y = _data()
    model = OwnStep()
    model.compile("sgd")
    model.fit(x, y, epochs=4, batch_size=32, verbose=0)


def head_left_out_of_the_gradient():
    x, y = _data()
    body, head = keras.layers.Dense(16, "relu"), keras.layers.Dense(3)
    optimizer = keras.optimizers.SGD(0.01)
    for _ in range(4):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = body.trainable_variables  # <- fault: and the head's
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def nan_born_in_a_loop():
    x = tf.constant([3.0, 2.0, 1.5, 4.0])

    @tf.function
    def shrink(x):
        state = x
        for _ in tf.range(4):
            state = state - 1.0
            state = tf.sqrt(state)  # <- fault: of what fell below 0
        return tf.reduce_sum(state)

    shrink(x)


def nan_carried_through_a_while():
    @tf.function
    def refine(x):
        k, total = tf.constant(0), tf.constant(0.0)
        while k < 5:
            x = x - 1.0
            total += tf.math.log(x)  # <- fault: at the third
            k += 1
        return total

    refine(tf.constant(3.0))


def gradient_not_finite_in_a_loop():
    w = tf.Variable([2.0, 1.0])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            state = w * 1.0
            for _ in tf.range(1):
                state = tf.sqrt(tf.nn.relu(state - 1.0))  # <- fault: 0 for the second
            loss = tf.reduce_sum(state)
        w.assign_sub(0.1 * tape.gradient(loss, w))
        return loss

    step()


def bytes_below_zero_in_a_function():
    @tf.function
    def difference(a, b):
        return tf.reduce_mean(tf.cast(a - b, tf.float32))  # <- fault

    difference(tf.constant([[10, 20]], tf.uint8), tf.constant([[20, 10]], tf.uint8))


def bytes_below_zero_in_a_session():
    with tf.Graph().as_default():
        a, b = tf1.placeholder(tf.uint8, [None, 2]), tf1.placeholder(tf.uint8, [None, 2])
        gap = a - b  # <- fault
        loss = tf.reduce_mean(tf.cast(gap, tf.float32))
        with tf1.Session() as session:
            session.run(loss, {a: np.array([[10, 20]]), b: np.array([[20, 10]])})


def bytes_divided_whole_in_a_function():
    @tf.function
    def scaled(image):
        small = image // 255  # <- fault
        return tf.reduce_mean(tf.cast(small, tf.float32))

    scaled(tf.constant(np.arange(240).reshape(2, 120) % 250, tf.uint8))


def bytes_divided_whole_in_a_session():
    with tf.Graph().as_default():
        image = tf1.placeholder(tf.uint8, [None, 120])
        small = image // 255  # <- fault
        loss = tf.reduce_mean(tf.cast(small, tf.float32))
        with tf1.Session() as session:
            session.run(loss, {image: np.arange(240).reshape(2, 120) % 250})


def data_with_missing_values_in_fit():
    x, _ = _data(4)
    x[7, 2] = np.nan  # <- fault
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, np.nansum(x, 1, keepdims=True), epochs=2, batch_size=8, verbose=0)


def labels_divided_by_nothing_in_a_pipeline():
    x, _ = _data(4)
    raw = np.full((32, 1), 3.0, np.float32)
    y = (raw - raw.mean()) / raw.std()  # <- fault
    w = tf.Variable(tf.zeros([4, 1]))
    for batch, target in tf.data.Dataset.from_tensor_slices((x, y)).batch(8):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.matmul(batch, w) - target) ** 2)
        w.assign_sub(0.01 * tape.gradient(loss, w))


def nan_read_from_a_table_and_fed():
    table = np.random.default_rng(0).standard_normal((32, 5)).astype(np.float32)
    table[3, 4] = np.nan  # <- fault
    features, labels = table[:, :4], table[:, 4:]
    with tf.Graph().as_default():
        x, y = tf1.placeholder(tf.float32, [None, 4]), tf1.placeholder(tf.float32, [None, 1])
        w = tf1.get_variable("w", [4, 1])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = tf1.train.GradientDescentOptimizer(0.01).minimize(loss)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(2):
                session.run([train, loss], {x: features, y: labels})

"""TensorFlow programs that are right, each near a fault of values or learning."""

import numpy as np
import tensorflow as tf

keras = tf.keras
tf1 = tf.compat.v1


def _data():
    random = np.random.default_rng(0)
    return random.standard_normal((32, 8)).astype(np.float32), random.integers(0, 3, 32)


def _cross_entropy(y, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))


def frozen_body_under_a_new_head():
    x, y = _data()
    body, head = keras.layers.Dense(16, "relu"), keras.layers.Dense(3)
    body.trainable = False
    optimizer = keras.optimizers.SGD(0.01)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = body.trainable_variables + head.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def head_alone_asked_for():
    x, y = _data()
    body, head = keras.layers.Dense(16, "relu"), keras.layers.Dense(3)
    optimizer = keras.optimizers.SGD(0.01)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = head.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def head_frozen_on_purpose():
    x, y = _data()
    body, head = keras.layers.Dense(16, "relu"), keras.layers.Dense(3)
    head.trainable = False
    optimizer = keras.optimizers.SGD(0.01)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(body(x)))
        variables = body.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for _ in range(5):
        step(x, y)


def maker_and_critic_in_turn():
    x, _ = _data()
    maker = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(8)])
    critic = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    first, second = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    for _ in range(5):
        noise = tf.random.normal([32, 4])
        with tf.GradientTape() as tape, tf.GradientTape() as other:
            real, fake = critic(x), critic(maker(noise))
            loss = loss_of(tf.ones_like(real), real) + loss_of(tf.zeros_like(fake), fake)
            fooled = loss_of(tf.ones_like(fake), fake)
        grads, others = (
            tape.gradient(loss, critic.trainable_variables),
            other.gradient(fooled, maker.trainable_variables),
        )
        second.apply_gradients(zip(grads, critic.trainable_variables, strict=True))
        first.apply_gradients(zip(others, maker.trainable_variables, strict=True))


def two_losses_each_of_its_part():
    x, y = _data()
    body, head, aside = keras.layers.Dense(16, "relu"), keras.layers.Dense(3), keras.layers.Dense(1)
    for _ in range(5):
        with tf.GradientTape(persistent=True) as tape:
            hidden = body(x)
            loss = _cross_entropy(y, head(hidden))
            value = tf.reduce_mean(aside(tf.stop_gradient(hidden)) ** 2)
        variables = [*body.trainable_variables, *head.trainable_variables, *aside.trainable_variables]
        for target in (loss, value):
            for grad, one in zip(tape.gradient(target, variables), variables, strict=True):
                if grad is not None:
                    one.assign_sub(0.01 * grad)


def trained_by_fit_with_norm_and_dropout():
    x, y = _data()
    layers = [keras.layers.Dense(16), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    model = keras.Sequential([keras.Input([8]), *layers, keras.layers.Dropout(0.2), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=5, batch_size=8, validation_data=(x, y), verbose=0)


def loss_that_falls_in_a_session():
    data, labels = _data()
    with tf.Graph().as_default():
        x, y = tf1.placeholder(tf.float32, [None, 8]), tf1.placeholder(tf.int64, [None])
        w, b = tf1.get_variable("w", [8, 16]), tf1.get_variable("b", [16])
        v, c = tf1.get_variable("v", [16, 3]), tf1.get_variable("c", [3])
        loss = _cross_entropy(y, tf.matmul(tf.nn.relu(tf.matmul(x, w) + b), v) + c)
        train = tf1.train.AdamOptimizer(0.01).minimize(loss)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(8):
                session.run([train, loss], {x: data, y: labels})


def rows_of_an_embedding_few_at_a_time():
    _, y = _data()
    table, head = keras.layers.Embedding(1000, 8), keras.layers.Dense(3)
    optimizer = keras.optimizers.Adam(0.01)
    for step in range(5):
        words = tf.constant(np.random.default_rng(step).integers(0, 1000, 32))
        with tf.GradientTape() as tape:
            loss = _cross_entropy(y, head(table(words)))
        variables = table.trainable_variables + head.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def state_kept_positive_in_a_loop():
    @tf.function
    def refine(x):
        for _ in tf.range(5):
            x = tf.sqrt(tf.maximum(x - 1.0, 0.0) + 1e-3)
        return tf.reduce_sum(x)

    refine(tf.constant([3.0, 0.5]))


def bytes_scaled_before_use():
    image = np.arange(240).reshape(2, 120).astype(np.uint8)

    @tf.function
    def brightness(image):
        return tf.reduce_mean(tf.cast(image, tf.float32) / 255.0)

    brightness(tf.constant(image))


def missing_values_filled_before_training():
    x, _ = _data()
    x[3, 1] = np.nan
    x = np.nan_to_num(x)
    model = keras.Sequential([keras.Input([8]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(x, x.sum(1, keepdims=True), epochs=2, batch_size=8, verbose=0)

"""NaN born in the step of an optimizer, by hand and in a framework's own: ``# <- fault`` marks the line."""

import numpy as np
import tensorflow as tf
import torch
from torch import nn

v1 = tf.compat.v1


def torch_by_hand():
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    x = torch.randn(8, 4)
    x[:, 0] = 0
    cache = [torch.zeros_like(p) for p in net.parameters()]
    for _ in range(3):
        net.zero_grad()
        net(x).pow(2).mean().backward()
        with torch.no_grad():
            for p, c in zip(net.parameters(), cache, strict=True):
                c.add_(p.grad**2)
                step = p.grad / c.sqrt()  # <- fault: no epsilon
                p.sub_(0.01 * step)


def torch_adam():
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    x = torch.randn(8, 4)
    x[:, 0] = 0
    opt = torch.optim.Adam(net.parameters(), lr=0.01, eps=0.0)  # <- fault
    for _ in range(3):
        opt.zero_grad()
        net(x).pow(2).mean().backward()
        opt.step()


class _Normalized(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                p.sub_(g["lr"] * p.grad / p.grad.norm(dim=-1, keepdim=True))  # <- fault


def torch_class():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        net[0].bias.fill_(-50.0)
    opt = _Normalized(net.parameters(), lr=0.01)
    for _ in range(2):
        opt.zero_grad()
        net(torch.randn(8, 4)).pow(2).mean().backward()
        opt.step()


def tf_by_hand():
    v = tf.Variable(tf.ones([4, 1]))
    c = tf.Variable(tf.zeros([4, 1]))
    x = tf.constant(np.array([[0.0, 1, 2, 3]] * 8, np.float32))
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
        g = tape.gradient(loss, v)
        c.assign_add(g**2)
        step = g / tf.sqrt(c)  # <- fault
        v.assign_sub(0.01 * step)


def tf_adam():
    v = tf.Variable(tf.ones([4, 1]))
    x = tf.constant(np.array([[0.0, 1, 2, 3]] * 8, np.float32))
    opt = tf.keras.optimizers.Adam(0.01, epsilon=0.0)  # <- fault
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
        opt.apply_gradients([(tape.gradient(loss, v), v)])


def tf_function_by_hand():
    v = tf.Variable(tf.ones([4, 1]))
    c = tf.Variable(tf.zeros([4, 1]))

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
        g = tape.gradient(loss, v)
        c.assign_add(g**2)
        step = g / tf.sqrt(c)  # <- fault
        v.assign_sub(0.01 * step)
        return loss

    x = tf.constant(np.array([[0.0, 1, 2, 3]] * 8, np.float32))
    for _ in range(3):
        train(x)


def tf_function_adam():
    v = tf.Variable(tf.ones([4, 1]))
    opt = tf.keras.optimizers.Adam(0.01, epsilon=0.0)  # <- fault

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
        opt.apply_gradients([(tape.gradient(loss, v), v)])
        return loss

    x = tf.constant(np.array([[0.0, 1, 2, 3]] * 8, np.float32))
    for _ in range(3):
        train(x)


def tf1_by_hand():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4])
        v = v1.get_variable("v", [4, 1], initializer=v1.ones_initializer())
        c = v1.get_variable("c", [4, 1], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
        g = tf.gradients(loss, v)[0]
        new = c.assign_add(g**2)
        step = g / tf.sqrt(new)  # <- fault
        train = v.assign_sub(0.01 * step)
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run([loss, train], {x: np.array([[0.0, 1, 2, 3]] * 8)})


def tf1_adam():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4])
        v = v1.get_variable("v", [4, 1], initializer=v1.ones_initializer())
        loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
        train = v1.train.AdamOptimizer(0.01, epsilon=0.0).minimize(loss)  # <- fault
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run([loss, train], {x: np.array([[0.0, 1, 2, 3]] * 8)})


def keras_fit_adam():
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.Adam(0.01, epsilon=0.0), "mse")  # <- fault
    x = np.array([[0.0, 1, 2, 3]] * 8, np.float32)
    model.fit(x, x[:, :1], epochs=3, verbose=0)

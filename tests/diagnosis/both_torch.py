"""One fault a program, as PyTorch says it; both_tensorflow.py has the same faults under the same names."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def matmul_of_two_weights():
    first = nn.Parameter(torch.randn(16, 24))
    second = nn.Parameter(torch.randn(32, 5))  # <- fault: 24 expected
    x = torch.randn(7, 16)
    (x @ first @ second).sum().backward()


def convolution_of_another_depth():
    images = torch.randn(2, 3, 20, 20)
    one = nn.Parameter(torch.randn(6, 3, 3, 3))
    two = nn.Parameter(torch.randn(8, 12, 3, 3))  # <- fault: 6 channels come
    F.conv2d(F.conv2d(images, one), two)


def joined_along_the_wrong_axis():
    a = torch.randn(4, 6)
    b = torch.randn(4, 9)
    torch.cat([a, b], dim=0)  # <- fault: axis 1 was meant


def broadcast_of_other_sizes():
    scores = torch.randn(8, 10)
    scale = torch.ones(12)  # <- fault: 10 expected
    scores * scale


def reshape_to_other_elements():
    x = torch.randn(6, 7, 2)
    x.reshape(6, 15)  # <- fault: 14 elements a row


def gathered_out_of_range():
    table = torch.randn(20, 4)
    rows = torch.tensor([0, 3, 20])  # <- fault: index
    table[rows]


def token_out_of_vocabulary():
    tokens = torch.tensor([[1, 2, 50]])
    table = nn.Embedding(50, 8)  # <- fault: vocabulary
    table(tokens)


def loss_of_other_batches():
    logits = nn.Linear(5, 3)(torch.randn(8, 5))
    labels = torch.zeros(6, dtype=torch.long)  # <- fault: 8 expected
    F.cross_entropy(logits, labels)


def label_out_of_range():
    x = torch.randn(4, 5)
    head = nn.Linear(5, 3)  # <- fault: classes
    F.cross_entropy(head(x), torch.tensor([0, 1, 2, 3]))


def reshape_folds_the_batch():
    x = torch.randn(6, 1, 20, 20)
    labels = torch.zeros(6, dtype=torch.long)
    rows = x.reshape(-1, 100)  # <- fault: 400 a sample
    logits = nn.Linear(100, 4)(rows)
    F.cross_entropy(logits, labels)


def reshape_folds_and_never_fails():
    x = torch.randn(10, 3, 12, 12)
    rows = x.reshape(-1, 240)  # <- fault: 432 a sample
    nn.Linear(240, 4)(rows).argmax(1)


def log_of_zero():
    w = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    loss = -torch.log(w).sum()  # <- fault: log
    loss.backward()


def square_root_at_zero():
    w = torch.zeros(4, requires_grad=True)
    d = torch.sqrt(w * w)  # <- fault: sqrt
    d.sum().backward()


def division_by_zero():
    w = torch.ones(3, requires_grad=True)
    total = torch.tensor([1.0, 0.0, 2.0])
    ratio = w / total  # <- fault: division
    ratio.sum().backward()


def exponential_overflows():
    w = torch.tensor([1.0, 200.0], requires_grad=True)
    p = torch.exp(w)  # <- fault: exp
    (p / p.sum()).sum().backward()


def hidden_by_where():
    w = torch.tensor([0.0, 4.0], requires_grad=True)
    y = torch.where(w > 0, torch.log(w), 0.0)  # <- fault: log hidden
    y.sum().backward()
    print(w.grad)


def not_finite_in_the_data():
    w = torch.ones(2, 1, requires_grad=True)
    x = torch.tensor([[1.0, float("nan")]])  # <- fault: data
    (x @ w).sum().backward()


def float64_data():
    w = torch.randn(3, 2, requires_grad=True)
    x = torch.from_numpy(np.ones([4, 3]))  # <- fault: float64
    x @ w


def bytes_below_zero():
    pixels = torch.arange(200, dtype=torch.uint8).reshape(2, 100)
    centred = pixels - 128  # <- fault: wraps
    centred.float().mean()


def bytes_divided_whole():
    pixels = torch.arange(200, dtype=torch.uint8).reshape(2, 100)
    scaled = pixels // 255  # <- fault: all 0
    scaled.float().mean()


def column_against_row():
    head = nn.Linear(3, 1)
    guess = head(torch.randn(9, 3))
    truth = torch.rand(9)
    error = guess - truth  # <- fault: broadcast
    (error**2).mean().backward()


def softmax_over_the_batch():
    head = nn.Linear(6, 4)
    scores = head(torch.randn(9, 6))
    p = torch.softmax(scores, 0)  # <- fault: axis
    p.max(1)


def softmax_by_hand_over_the_batch():
    head = nn.Linear(6, 4)
    powers = torch.exp(head(torch.randn(9, 6)))
    p = powers / powers.sum(0, keepdim=True)  # <- fault: axis
    (-torch.log(p[:, 0])).mean().backward()


def softmax_before_the_loss():
    head = nn.Linear(6, 4)
    p = torch.softmax(head(torch.randn(9, 6)), 1)  # <- fault: twice
    F.cross_entropy(p, torch.zeros(9, dtype=torch.long)).backward()


def step_size_too_large():
    torch.manual_seed(0)
    x = torch.randn(16, 2) * 40
    w = nn.Parameter(torch.zeros(2, 1))
    opt = torch.optim.SGD([w], lr=1.0)  # <- fault: step size
    for _ in range(30):
        opt.zero_grad()
        loss = ((x @ w - x.sum(1, keepdim=True)) ** 2).mean()
        loss.backward()
        opt.step()

"""Programs with one fault each, as users make them: the line with ``# <- fault`` is where it was born."""

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, features=3136):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 64, 3, padding=1)
        self.fc = nn.Linear(features, 10)  # <- fault: dense

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


def dense_for_another_image():
    Net()(torch.randn(3, 1, 100, 100))


class Folding(Net):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 3136)  # <- fault: fold
        return self.fc(x)


def fold_fails_in_loss():
    labels = torch.randint(0, 10, (49,))
    F.cross_entropy(Folding()(torch.randn(49, 1, 100, 100)), labels)


def fold_never_fails():
    Folding()(torch.randn(49, 1, 100, 100)).argmax(1)


def fold_split_fails_in_loss():
    labels = torch.randint(0, 10, (6,))
    F.cross_entropy(Folding()(torch.randn(6, 1, 56, 56)), labels)


class Channels(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.conv(x)


def channels_last_to_conv():
    images = torch.rand(4, 32, 32, 3)  # <- fault: channels
    Channels()(images)


class Widths(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(20, 30)
        self.second = nn.Linear(32, 5)  # <- fault: widths

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def widths_disagree():
    Widths()(torch.randn(4, 20))


class NormWidth(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.bn = nn.BatchNorm2d(32)  # <- fault: norm width
        self.conv2 = nn.Conv2d(16, 8, 3)

    def forward(self, x):
        return self.conv2(self.bn(self.conv(x)))


def norm_of_another_width():
    NormWidth()(torch.randn(2, 3, 16, 16))


class Unflattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4 * 26 * 26, 10)

    def forward(self, x):
        return self.fc(self.conv(x))  # <- fault: not flattened


def flatten_forgotten():
    Unflattened()(torch.randn(2, 1, 28, 28))


class BatchWidth(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 1)  # <- fault: batch as width

    def forward(self, x):
        return self.fc(x)


def batch_size_as_width():
    BatchWidth()(torch.randn(64, 13))


def product_needs_transpose():
    q = torch.randn(5, 16)
    k = torch.randn(5, 16)
    q @ k  # <- fault: product


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)  # <- fault: one row short

    def forward(self, x):
        skip = self.down(x)
        deep = self.up(self.pool(skip))
        return torch.cat([deep, skip], dim=1)


def skip_of_odd_size():
    UNet()(torch.randn(1, 3, 33, 33))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3)  # <- fault: no padding

    def forward(self, x):
        return x + self.conv(x)


def residual_without_padding():
    Residual()(torch.randn(1, 8, 16, 16))


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5)
        self.conv2 = nn.Conv2d(4, 8, 5)
        self.conv3 = nn.Conv2d(8, 8, 5)  # <- fault: too deep

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.conv3(x)


def image_too_small():
    Deep()(torch.randn(1, 1, 28, 28))


def view_of_wrong_size():
    x = torch.randn(8, 20, 5, 5)
    x.view(-1, 320)  # <- fault: view


def logits_of_wrong_width():
    net = nn.Linear(4, 3)  # <- fault: classes
    target = torch.rand(6, 5)
    F.mse_loss(net(torch.randn(6, 4))[:, :3] * torch.ones(6, 3), target)


# Non-finite.


def log_of_zero():
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    x = torch.tensor([0.0, 1.0])
    y = torch.log(x * w)  # <- fault: log
    y.sum().backward()


def log_of_saturated_softmax():
    net = nn.Linear(3, 4)
    logits = net(torch.randn(5, 3)) * 1e4
    p = torch.softmax(logits, 1)
    loss = -(F.one_hot(torch.zeros(5, dtype=torch.long), 4) * torch.log(p)).sum()  # <- fault: saturated
    loss.backward()


def square_root_at_zero():
    x = torch.zeros(3, requires_grad=True)
    y = torch.sqrt(x)  # <- fault: sqrt
    y.sum().backward()


def masked_log():
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    y = torch.log(x)  # <- fault: masked log
    torch.where(x > 0, y, torch.zeros(())).sum().backward()


def norm_at_zero():
    x = torch.zeros(2, 3, requires_grad=True)
    d = (x**2).sum(1).sqrt()  # <- fault: norm
    d.sum().backward()


def exp_overflows():
    a = torch.tensor([10.0, 100.0], requires_grad=True)
    loss = torch.log(torch.exp(a) + 1).sum()  # <- fault: exp
    loss.backward()
    print(loss.item())


def division_by_zero():
    w = torch.ones(3, requires_grad=True)
    total = torch.zeros(3)
    mean = w / total  # <- fault: division
    print(mean.sum().item())


def all_masked_attention():
    scores = torch.randn(2, 4, requires_grad=True)
    mask = torch.tensor([[False] * 4, [True] * 4])
    weights = torch.softmax(scores.masked_fill(mask, float("-inf")), -1)  # <- fault: all masked
    weights.sum().backward()


def step_size_too_large():
    torch.manual_seed(0)
    x = torch.randn(32, 3) * 50
    y = x.sum(1, keepdim=True)
    net = nn.Linear(3, 1)
    opt = torch.optim.SGD(net.parameters(), lr=0.5)  # <- fault: step size
    for _ in range(40):
        opt.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        opt.step()


def nan_in_data():
    net = nn.Linear(3, 1)
    x = torch.tensor([[1.0, float("nan"), 0.0]])  # <- fault: data
    net(x).sum().backward()


# In-place changes, dtype, targets, misuse.


def in_place_change():
    w = torch.ones(4, requires_grad=True)
    y = torch.exp(w)
    y += 1  # <- fault: in place
    y.sum().backward()


def in_place_index():
    w = torch.randn(4, 4, requires_grad=True)
    h = torch.tanh(w)
    h[0] = 0  # <- fault: in place by index
    z = h * 2
    z.sum().backward()


def leaf_in_place():
    w = torch.ones(4, requires_grad=True)
    w += 1  # <- fault: leaf


def stepped_before_backward():
    net = nn.Linear(3, 3)
    top = nn.Linear(3, 1)
    opt = torch.optim.SGD([*net.parameters(), *top.parameters()], lr=0.1)
    x = torch.randn(4, 3)
    h = top(net(x))
    one, two = h.sum(), (h**2).sum()
    one.backward(retain_graph=True)
    opt.step()  # <- fault: step before backward
    two.backward()


def float64_input():
    import numpy as np

    net = nn.Linear(3, 2)
    x = torch.from_numpy(np.random.rand(4, 3))  # <- fault: float64
    net(x)


def float_labels():
    net = nn.Linear(3, 2)
    labels = torch.zeros(4)  # <- fault: float labels
    F.nll_loss(torch.log_softmax(net(torch.randn(4, 3)), 1), labels)


def int_input():
    net = nn.Linear(3, 2)
    x = torch.arange(12).view(4, 3)  # <- fault: ints
    net(x)


def label_out_of_range():
    net = nn.Linear(3, 5)  # <- fault: classes
    F.cross_entropy(net(torch.randn(2, 3)), torch.tensor([1, 5]))


def token_out_of_vocabulary():
    table = nn.Embedding(10, 4)  # <- fault: vocabulary
    table(torch.tensor([3, 10]))


def backward_twice():
    w = torch.ones(3, requires_grad=True)
    loss = (w**2).sum()
    loss.backward()
    loss.backward()  # <- fault: twice


def state_carried_over():
    cell = nn.RNNCell(3, 4)
    opt = torch.optim.SGD(cell.parameters(), lr=0.1)
    h = torch.zeros(2, 4)
    for _ in range(3):
        h = cell(torch.randn(2, 3), h)  # <- fault: state
        loss = h.pow(2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


def loss_without_graph():
    net = nn.Linear(3, 2)
    out = net(torch.randn(4, 3))
    loss = out.detach().sum()  # <- fault: detached
    loss.backward()


def backward_of_vector():
    net = nn.Linear(3, 2)
    out = net(torch.randn(4, 3))
    out.backward()  # <- fault: vector


def target_of_wrong_rank():
    logits = nn.Linear(3, 2)(torch.randn(4, 3))
    labels = torch.zeros(4, 1, dtype=torch.long)  # <- fault: target rank
    F.cross_entropy(logits, labels)


def one_hot_to_sparse():
    logits = nn.Linear(3, 2)(torch.randn(4, 3))
    labels = F.one_hot(torch.zeros(4, dtype=torch.long), 2)  # <- fault: one-hot
    F.cross_entropy(logits, labels)


def lists_to_tensor():
    rows = [torch.randn(3), torch.randn(3)]
    torch.tensor(rows)  # <- fault: list of tensors


# Silent: nothing fails, the result is wrong.


def column_against_row():
    net = nn.Linear(3, 1)
    y = torch.rand(8)
    loss = ((net(torch.randn(8, 3)) - y) ** 2).mean()  # <- fault: broadcast
    loss.backward()


def column_against_row_in_mse():
    net = nn.Linear(3, 1)
    y = torch.rand(8)
    F.mse_loss(net(torch.randn(8, 3)), y).backward()  # <- fault: broadcast in loss


def accuracy_of_column():
    net = nn.Linear(3, 1)
    y = torch.randint(0, 2, (8,))
    hits = (net(torch.randn(8, 3)) > 0) == y  # <- fault: accuracy
    print(hits.float().mean().item())


def softmax_over_batch():
    net = nn.Linear(3, 4)
    p = torch.softmax(net(torch.randn(8, 3)), dim=0)  # <- fault: axis
    (-torch.log(p[:, 0])).mean().backward()


def softmax_of_one_column():
    net = nn.Linear(3, 1)
    p = torch.softmax(net(torch.randn(8, 3)), dim=1)  # <- fault: one column
    F.binary_cross_entropy(p, torch.ones(8, 1)).backward()


def argmax_of_one_column():
    net = nn.Linear(3, 1)
    print(net(torch.randn(8, 3)).argmax(1))  # <- fault: argmax


def softmax_twice():
    net = nn.Linear(3, 4)
    p = torch.softmax(net(torch.randn(8, 3)), 1)  # <- fault: twice
    F.cross_entropy(p, torch.zeros(8, dtype=torch.long)).backward()


def probabilities_for_their_logarithms():
    net = nn.Linear(5, 3)
    p = net(torch.randn(6, 5)).softmax(-1)  # <- fault: no logarithm
    F.nll_loss(p, torch.arange(6) % 3).backward()


def scores_for_log_probabilities():
    net = nn.Linear(5, 3)
    nn.init.constant_(net.bias, 9.0)
    F.nll_loss(net(torch.randn(6, 5)), torch.arange(6) % 3).backward()  # <- fault: no log_softmax


def view_for_transpose():
    x = torch.randn(5, 4, 6)
    h = x.view(4, 5, 6)  # <- fault: view for transpose
    nn.Linear(6, 2)(h).sum().backward()


def view_of_a_slice():
    tokens = torch.randint(0, 9, (4, 33))
    targets = tokens[:, 1:]
    F.one_hot(targets.view(-1), 9)  # <- fault: not contiguous


def lstm_of_another_width():
    lstm = nn.LSTM(input_size=12, hidden_size=20)  # <- fault: declared width
    lstm(torch.randn(8, 30, 10))

"""Programs refused for what no op was given, or for a state: the line with ``# <- fault`` is to be named."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, Dataset


class Small(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, 2)]  # <- fault: list

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def optimizer_of_listed_layers():
    net = Listed()
    torch.optim.SGD(net.parameters(), lr=0.1)


def optimizer_of_what_was_computed():
    w = torch.randn(3, 2, requires_grad=True) * 0.1  # <- fault
    torch.optim.Adam([w], lr=0.1)


def optimizer_of_a_model():
    net = Small()
    torch.optim.Adam(net, lr=0.1)  # <- fault


def step_size_below_zero():
    net = Small()
    rate = -0.1  # <- fault
    torch.optim.SGD(net.parameters(), lr=rate)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(20, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.emb(x), lengths, batch_first=True)  # <- fault: pack
        out, _ = self.rnn(packed)
        return out


def unsorted_lengths():
    Tagger()(torch.randint(0, 20, (3, 5)), torch.tensor([3, 5, 2]))


def zero_length():
    x = torch.randint(0, 20, (3, 5))
    lengths = torch.tensor([5, 3, 0])  # <- fault
    Tagger()(x, lengths)


def mapped_over_unlike_axes():
    w = torch.randn(4)
    x = torch.randn(6, 4)
    y = torch.randn(5)
    mapped = torch.func.vmap(lambda a, b: (a @ w) * b)  # <- fault
    mapped(x, y)


def number_of_a_mapped_tensor():
    def one(x):
        if x.sum().item() > 0:  # <- fault
            return x
        return -x

    torch.func.vmap(one)(torch.randn(4, 3))


def gradient_of_a_vector():
    net = Small()
    params = {k: v.detach() for k, v in net.named_parameters()}

    def loss(p, x, y):
        out = torch.func.functional_call(net, p, (x,))
        return F.cross_entropy(out, y, reduction="none")  # <- fault

    torch.func.grad(loss)(params, torch.randn(3, 6), torch.tensor([1, 2, 3]))


def gradient_of_what_was_computed():
    x = torch.rand(2, 6, requires_grad=True)
    x = x * 2 - 1  # <- fault
    Small()(x).sum().backward()
    x.grad.sign()


def gradient_before_backward():
    net = Small()
    loss = net(torch.rand(2, 6)).sum()
    total = 0
    for p in net.parameters():
        total = total + p.grad.norm()  # <- fault
    loss.backward()


def gradient_that_was_not_asked_for():
    x = torch.rand(2, 6)  # <- fault
    Small()(x).sum().backward()
    print(x.grad.abs().max())


def gradient_of_what_was_not_used():
    net = Small()
    extra = nn.Linear(3, 3)  # <- fault
    net(torch.rand(2, 6)).sum().backward()
    print(extra.weight.grad.norm())


def checkpoint_of_other_sizes():
    buffer = io.BytesIO()
    torch.save(Small(4).state_dict(), buffer)
    buffer.seek(0)
    net = Small()  # <- fault
    net.load_state_dict(torch.load(buffer))


def checkpoint_of_a_wrapped_model():
    net = Small()
    state = nn.DataParallel(net).state_dict()  # <- fault
    net.load_state_dict(state)


def targets_from_one():
    net = nn.Sequential(nn.Linear(6, 1), nn.Sigmoid())
    y = torch.randint(1, 3, (8, 1)).float()  # <- fault
    F.binary_cross_entropy(net(torch.randn(8, 6)), y)


def scores_as_probabilities():
    net = nn.Linear(6, 1)
    crit = nn.BCELoss()  # <- fault
    crit(net(torch.randn(8, 6) * 9), torch.ones(8, 1))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.k = k
        return x * k

    @staticmethod
    def backward(ctx, g):
        return g * ctx.k  # <- fault: doubled


def derivative_of_one_argument():
    x = torch.randn(3, requires_grad=True)
    Doubled.apply(x, 2.0).sum().backward()


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("mean", torch.from_numpy(np.zeros(4)))  # <- fault: buffer

    def forward(self, x):
        return self.fc(x - self.mean)


def buffer_of_doubles():
    Scaled()(torch.randn(2, 4))


def sum_of_integers():
    counts = torch.randint(0, 9, (4, 5))  # <- fault
    total = counts.sum(0)
    nn.Linear(5, 2)(total)


def half_added_at_an_index():
    out = torch.zeros(4, 3)
    idx = torch.tensor([0, 2, 1])
    src = torch.ones(3, 3, dtype=torch.bfloat16)  # <- fault
    out.index_add_(0, idx, src)


def frozen_by_a_loop():
    net = Small()
    for p in net.parameters():  # <- fault
        p.requires_grad = False  # <- fault
    F.cross_entropy(net(torch.randn(3, 6)), torch.tensor([1, 2, 3])).backward()


def frozen_by_a_call():
    net = Small()
    net.requires_grad_(False)  # <- fault
    F.cross_entropy(net(torch.randn(3, 6)), torch.tensor([1, 2, 3])).backward()


def loss_in_no_grad():
    net = Small()
    with torch.no_grad():  # <- fault
        loss = F.cross_entropy(net(torch.randn(3, 6)), torch.tensor([1, 2, 3]))
    loss.backward()


class Quiet(Small):
    @torch.no_grad()  # <- fault: quiet
    def forward(self, x):
        return super().forward(x)


def forward_without_gradients():
    loss = F.cross_entropy(Quiet()(torch.randn(3, 6)), torch.tensor([1, 2, 3]))
    loss.backward()


def _evaluate(net):
    torch.set_grad_enabled(False)  # <- fault: left
    return net(torch.randn(3, 6)).argmax(1)


def gradients_left_off():
    net = Small()
    try:
        _evaluate(net)
        F.cross_entropy(net(torch.randn(3, 6)), torch.tensor([1, 2, 3])).backward()
    finally:
        torch.set_grad_enabled(True)


def features_of_inference():
    net = Small()
    head = nn.Linear(10, 2)
    with torch.inference_mode():  # <- fault
        f = net(torch.randn(3, 6))
    head(f).sum().backward()


def loss_of_detached():
    net = Small()
    out = net(torch.randn(3, 6)).detach()  # <- fault
    F.cross_entropy(out, torch.tensor([1, 2, 3])).backward()


def loss_of_each_sample():
    net = nn.Linear(6, 4)
    criterion = nn.CrossEntropyLoss(reduction="none")  # <- fault
    loss = criterion(net(torch.randn(4, 6)), torch.tensor([0, 1, 2, 3]))
    loss.backward()


class Pairs(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)  # <- fault: pairs

    def __getitem__(self, i):
        return self.rows[i], self.rows[i + 1]


def dataset_that_promises_too_much():
    for _ in DataLoader(Pairs(torch.randn(9, 2)), batch_size=3):
        pass


class Unlabelled(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.zeros(2), None  # <- fault: unlabelled


def samples_with_none():
    loader = DataLoader(Unlabelled(), batch_size=2)
    for _ in loader:
        pass

"""Programs that look like those of torch_lineage and are right."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PAD = 0


def _windows():
    return DataLoader(TensorDataset(torch.randn(24, 5, 3), torch.randint(0, 2, (24,))), batch_size=6)


def sequences_in_the_order_that_the_layer_takes():
    first, second, head = nn.GRU(3, 8, batch_first=True), nn.GRU(3, 8), nn.Linear(8, 2)
    for x, y in _windows():
        F.cross_entropy(head(first(x)[0][:, -1]), y).backward()
        F.cross_entropy(head(second(x.transpose(0, 1))[0][-1]), y).backward()


def long_text_read_in_slices_of_time():
    tokens, layer, head = nn.Embedding(12, 8), nn.GRU(8, 8), nn.Linear(8, 12)
    columns = torch.randint(0, 12, (40, 4))
    for start in range(0, 32, 8):
        given, wanted = columns[start : start + 8], columns[start + 1 : start + 9]
        F.cross_entropy(head(layer(tokens(given))[0]).flatten(0, 1), wanted.flatten()).backward()


def masks_that_hide_what_they_should():
    tokens, attention = nn.Embedding(20, 8), nn.MultiheadAttention(8, 2, batch_first=True)
    ids = torch.randint(1, 20, (6, 7))
    ids[:, 5:] = PAD
    x = tokens(ids)
    later = torch.triu(torch.ones(7, 7), diagonal=1).bool()
    attention(x, x, x, key_padding_mask=ids == PAD, attn_mask=later)[0].sum().backward(retain_graph=True)
    scores = tokens(ids) @ x.transpose(1, 2)
    beyond = torch.arange(7)[None, :] >= torch.full((6, 1), 5)
    scores = scores.masked_fill(beyond[:, None], -1e9).masked_fill(~(ids != PAD)[:, None], -1e9)
    scores = scores.masked_fill(torch.tril(torch.ones(7, 7)) == 0, -1e9)
    (scores.softmax(-1) @ x).sum().backward(retain_graph=True)
    earlier = torch.tril(torch.ones(7, 7), diagonal=-1).bool()  # read from the end
    (scores.masked_fill(earlier, -1e9).softmax(-1) @ x).sum().backward()


def actions_that_are_not_allowed():
    policy, allowed = nn.Linear(4, 6), torch.randint(0, 2, (5, 6))
    allowed[:, 0] = 1
    policy(torch.randn(5, 4)).masked_fill(allowed != 1, -1e9).log_softmax(-1)[:, 0].mean().backward()


def _language(ids, shift):
    tokens, layer, head = nn.Embedding(20, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 20)
    scores = head(layer(tokens(ids))[0])
    if shift:
        return F.cross_entropy(scores[:, :-1].transpose(1, 2), ids[:, 1:])
    return F.cross_entropy(scores.transpose(1, 2), ids)


def targets_shifted_behind_the_network():
    text = torch.randint(0, 20, (30, 9))
    for _ in range(3):
        _language(text[torch.randint(0, 30, (5,))], shift=True).backward()


def words_to_be_guessed_where_they_were_hidden():
    tokens, head, text = nn.Embedding(21, 8), nn.Linear(8, 21), torch.randint(0, 20, (30, 9))
    for _ in range(3):
        ids = text[torch.randint(0, 30, (5,))]
        given = ids.clone()
        given[torch.rand(5, 9) < 0.3] = 20
        F.cross_entropy(head(tokens(given)).transpose(1, 2), ids).backward()


def sentences_through_one_vector():
    tokens, encoder, head = nn.Embedding(20, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 20)
    text = torch.randint(0, 20, (30, 9))
    for _ in range(3):
        ids = text[torch.randint(0, 30, (5,))]
        whole = encoder(tokens(ids))[1][-1]
        F.cross_entropy(head(whole[:, None].expand(-1, 9, -1)).transpose(1, 2), ids).backward()


def numbers_of_samples_and_of_columns():
    net, x, y = nn.Linear(4, 6), torch.randn(30, 4), torch.randn(30, 6)
    weight, column = torch.rand(30), torch.rand(6)
    for _ in range(2):
        rows = torch.randperm(30)[:6]
        error = (net(x[rows]) - y[rows]) ** 2
        ((error * weight[rows][:, None]) * column).mean().backward()


def both_sides_shuffled():
    x, y = torch.randn(30, 4), torch.randint(0, 2, (30,))
    for _ in range(2):
        order = torch.randperm(30)
        shuffled, wanted = x[order], y[order]
        for start in range(0, 30, 10):
            guess = nn.Linear(4, 2)(shuffled[start : start + 10])
            F.cross_entropy(guess, wanted[start : start + 10]).backward()


def mixed_samples():
    net, x, y = nn.Linear(4, 2), torch.randn(30, 4), torch.randint(0, 2, (30,))
    for _ in range(3):
        order = torch.randperm(30)
        guess = net(0.3 * x[order] + 0.7 * x)
        (0.3 * F.cross_entropy(guess, y[order]) + 0.7 * F.cross_entropy(guess, y)).backward()


def labels_made_of_what_was_shuffled():
    x = torch.randn(30, 4)
    x = x[torch.randperm(30)]
    y = (x.sum(1) > 0).long()
    for start in range(0, 30, 10):
        F.cross_entropy(nn.Linear(4, 2)(x[start : start + 10]), y[start : start + 10]).backward()


def weights_of_a_pool_and_shares_of_classes():
    score, x = nn.Linear(8, 1), torch.randn(5, 7, 8)
    (torch.softmax(score(x), dim=1) * x).sum(1).mean().backward()
    shares, truth = nn.Conv2d(3, 4, 1)(torch.randn(2, 3, 6, 6)).softmax(1), torch.rand(2, 4, 6, 6)
    (shares * truth).sum((2, 3)).mean().backward()
    (shares * truth).sum(3).mean()


def sums_that_keep_nothing_or_are_trained_on():
    net, total, kept = nn.Linear(4, 1), 0, 0.0
    for _ in range(5):
        whole = 0
        for _ in range(3):
            loss = net(torch.randn(6, 4)).pow(2).mean()
            whole = whole + loss
        whole.backward()
        total += whole.detach()
        with torch.no_grad():
            kept += whole


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 2), nn.Linear(2, 6)

    def forward(self, x):
        return x * torch.sigmoid(self.second(torch.relu(self.first(x))))


def side_branch_whose_few_units_are_dead():
    net = nn.Sequential(nn.Linear(4, 6), Gate(), nn.Linear(6, 2))
    with torch.no_grad():
        net[1].first.bias.fill_(-50.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.randn(8, 4)), torch.randint(0, 2, (8,))).backward()
        optimizer.step()


def perfect_fit():
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1), nn.ReLU())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(8, 2)
    with torch.no_grad():
        wanted = net(x)
    for _ in range(40):
        optimizer.zero_grad()
        F.mse_loss(net(x), wanted).backward()
        optimizer.step()


def means_of_wide_numbers():
    one, other = (torch.randint(0, 256, (4, 6), dtype=torch.uint8) for _ in range(2))
    mean = (one.int() + other.int()) // 2
    nn.Linear(6, 1)(mean.float() / 255).sum().backward()


def _orders():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 2
    order, other = rng.permutation(30), rng.permutation(30)
    x, y = x[order], y[order]
    noise = rng.normal(size=30)
    noise = noise[other]
    return x, y, noise


def rows_and_labels_shuffled_before_they_are_tensors():
    x, y, _ = _orders()
    F.cross_entropy(nn.Linear(4, 2)(torch.tensor(x, dtype=torch.float32)), torch.tensor(y)).backward()


def pairs_that_are_told_from_both_sides():
    image, text, wanted = nn.Linear(4, 6), nn.Linear(3, 6), torch.arange(5)
    scores = image(torch.randn(5, 4)) @ text(torch.randn(5, 3)).t()
    (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.t(), wanted)).backward()
    (scores.argmax(0) == wanted).float().mean()
    (scores.argmax(1) == wanted).float().mean()


def gradients_of_the_other_network_cleared_between_backward_and_step():
    one, other, x = nn.Linear(4, 4), nn.Linear(4, 1), torch.randn(16, 4)
    first, second = (torch.optim.SGD(net.parameters(), lr=0.01) for net in (one, other))
    for _ in range(4):
        other(one(x).detach()).pow(2).mean().backward()
        first.zero_grad()
        second.step()
        second.zero_grad()
        other(one(x)).mean().backward()
        first.step()
        second.zero_grad()

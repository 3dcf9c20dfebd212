"""Programs that take samples, places or sizes for others: the line with ``# <- fault`` is to be named."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PAD = 0


def _train(net, batches, loss=F.cross_entropy, lr=0.01):
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for x, y in batches:
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()


class Windows(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        out = self.layer(x)
        out = out[0] if isinstance(out, tuple) else out
        return self.head(out[:, -1])


def recurrent_layer_along_the_samples_of_a_loader():
    layer = nn.GRU(3, 8)  # <- fault
    data = TensorDataset(torch.randn(24, 5, 3), torch.randint(0, 2, (24,)))
    net = Windows(layer)
    _train(net, DataLoader(data, batch_size=6, shuffle=True))


def recurrent_layer_along_rows_that_were_drawn():
    layer = nn.LSTM(3, 8)  # <- fault
    x, y = torch.randn(24, 5, 3), torch.randint(0, 2, (24,))
    drawn = [torch.randperm(24)[:6] for _ in range(3)]
    net = Windows(layer)
    _train(net, [(x[rows], y[rows]) for rows in drawn])


def last_sample_taken_for_the_last_step():
    layer = nn.RNN(3, 8)  # <- fault
    net = Windows(layer)
    _train(net, [(torch.randn(6, 5, 3), torch.randint(0, 2, (6,)))])


def attention_among_the_samples_of_a_loader():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)  # <- fault
    data = TensorDataset(torch.randn(24, 5, 8), torch.randint(0, 2, (24,)))
    net = Windows(layer)
    _train(net, DataLoader(data, batch_size=6, shuffle=True))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(20, 8, padding_idx=PAD)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 20)

    def forward(self, ids):
        ignored = ids != PAD  # <- fault
        x = self.tokens(ids)
        return self.head(self.attention(x, x, x, key_padding_mask=ignored)[0])


def _sentences(full=False):
    ids = torch.randint(1, 20, (6, 7))
    ids[:, 5:] = PAD
    ids[0] = 3 if full else ids[0]
    return ids


def padding_mask_the_other_way_round():
    Reader()(_sentences()).sum().backward()


def padding_mask_that_leaves_a_sentence_with_nothing():
    Reader()(_sentences(full=True)).sum().backward()


def lengths_the_other_way_round():
    layer, x = nn.Linear(8, 8), torch.randn(4, 6, 8)
    lengths = torch.tensor([3, 4, 5, 2])
    beyond = torch.arange(6)[None, :] < lengths[:, None]  # <- fault
    scores = layer(x) @ x.transpose(1, 2)
    scores = scores.masked_fill(beyond[:, None, :], -1e9)
    (scores.softmax(-1) @ x).sum().backward()


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        later = torch.triu(torch.ones(x.shape[1], x.shape[1])) == 1  # <- fault
        scores = (self.layer(x) @ x.transpose(1, 2)).masked_fill(later, -1e9)
        return scores.softmax(-1) @ x


def first_place_left_with_nothing():
    Causal()(torch.randn(2, 6, 8)).sum().backward()


class Speaker(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(20, 8)
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 20)

    def forward(self, ids):
        return self.head(self.recurrent(self.tokens(ids))[0]).transpose(1, 2)


def targets_that_are_the_input():
    text, net = torch.randint(0, 20, (30, 9)), Speaker()
    for _ in range(3):
        rows = torch.randint(0, 30, (5,))
        given = text[rows, :-1]
        wanted = text[rows, :-1]  # <- fault
        F.cross_entropy(net(given), wanted).backward()


def numbers_of_samples_along_the_columns():
    net, x, y, weight = nn.Linear(4, 6), torch.randn(30, 4), torch.randn(30, 6), torch.rand(30)
    for _ in range(2):
        rows = torch.randperm(30)[:6]
        error = (net(x[rows]) - y[rows]) ** 2
        (error * weight[rows]).mean().backward()  # <- fault


def inputs_shuffled_alone():
    x, y = torch.randn(30, 4), torch.randint(0, 2, (30,))
    order = torch.randperm(30)
    x = x[order]  # <- fault
    _train(nn.Linear(4, 2), DataLoader(TensorDataset(x, y), batch_size=10))


def weights_of_a_pool_over_the_batch():
    score, x = nn.Linear(8, 1), torch.randn(5, 7, 8)
    weights = torch.softmax(score(x), dim=0)  # <- fault
    (weights * x).sum(1).mean().backward()


def sum_of_losses_with_their_graphs():
    net, total = nn.Linear(4, 1), 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(25):
        loss = net(torch.randn(6, 4)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss  # <- fault


def gradients_cleared_before_the_step():
    net, x = nn.Linear(4, 1), torch.randn(16, 4)
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(4):
        (net(x) - x.sum(1, keepdim=True)).pow(2).mean().backward()
        optimizer.zero_grad()  # <- fault
        optimizer.step()


def gradient_assigned_in_another_shape():
    net = nn.Linear(3, 5)
    estimate = torch.zeros(3, 5)  # <- fault
    estimate = estimate + torch.randn(3, 5)
    net.weight.grad = estimate / 2


def _block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU())


def helper_called_with_another_size():
    first, second = _block(3, 8), _block(8, 16)
    third = _block(8, 16)  # <- fault
    third(second(first(torch.randn(2, 3, 8, 8))))


class Decoder(nn.Module):
    def __init__(self, latent, hidden):
        super().__init__()
        self.first, self.second = nn.Linear(latent, hidden), nn.Linear(hidden, 12)

    def forward(self, z):
        return self.second(self.first(z))


class Coder(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x):
        return self.decoder(self.encoder(x))


def part_that_was_passed_in_made_for_another_size():
    width = 24
    encoder = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 4))
    decoder = Decoder(width, width)  # <- fault
    net = Coder(encoder, decoder)
    net(torch.randn(5, 12))


def _made(settings):
    return nn.Sequential(*[getattr(nn, kind)(*given) for kind, *given in settings])


def layer_of_a_list_of_settings():
    settings = [
        ("Linear", 6, 10),
        ("ReLU",),
        ("Linear", 12, 3),  # <- fault
    ]
    net = _made(settings)
    net(torch.randn(4, 6))


def copied_layers_of_another_width():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)  # <- fault
    encoder = nn.TransformerEncoder(layer, 2)
    encoder(torch.randn(3, 5, 24))


def places_of_a_maximum_in_the_loss():
    net = nn.Linear(4, 3)
    guess = torch.max(net(torch.randn(6, 4)).softmax(1), 1)[1].float()  # <- fault
    F.mse_loss(guess, torch.rand(6)).backward()


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x.mm(weight.t())

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        to_weight = x.t().mm(gradient)  # <- fault
        return gradient.mm(weight), to_weight


def derivative_of_another_shape_before_a_loss():
    weight = nn.Parameter(torch.randn(4, 5))
    loss = F.cross_entropy(Product.apply(torch.randn(6, 5), weight), torch.randint(0, 4, (6,)))
    loss.backward()


def float_labels_behind_a_loader():
    x = torch.randn(30, 4)
    y = torch.FloatTensor(np.arange(30) % 3)  # <- fault
    loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
    for xb, yb in loader:
        F.cross_entropy(nn.Linear(4, 3)(xb), yb)


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 1)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.first(x))
        return self.act(self.second(x))  # <- fault


def network_that_ends_in_a_relu():
    x = torch.rand(40, 4)
    net = Regressor()
    net.second.weight.data.abs_()
    net.second.bias.data += 0.5
    _train(net, [(x, -1 - x.sum(1, keepdim=True))] * 80, F.mse_loss, lr=0.1)


def mean_of_bytes():
    one, other = (torch.randint(0, 256, (4, 6), dtype=torch.uint8) for _ in range(2))
    mean = (one + other) // 2  # <- fault
    nn.Linear(6, 1)(mean.float() / 255).sum().backward()


def rate_in_a_configuration():
    settings = {
        "width": 16,
        "optimizer": {"lr": 30.0, "momentum": 0.9},  # <- fault
    }
    net = nn.Sequential(nn.Linear(6, settings["width"]), nn.Linear(settings["width"], 1))
    optimizer = torch.optim.SGD(net.parameters(), **settings["optimizer"])
    x = torch.randn(32, 6)
    for _ in range(30):
        loss = (net(x) - x.sum(1, keepdim=True)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _standardised(values):
    mean, std = values.mean(0), values.std(0)
    with np.errstate(invalid="ignore"):
        return (values - mean) / std  # <- fault


def column_without_a_spread():
    values = np.stack([np.arange(8.0), np.full(8, 3.0)], axis=1)
    values = _standardised(values)
    x = torch.tensor(values, dtype=torch.float32)
    nn.Linear(2, 1)(x).sum().backward()


def _parts():
    x, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 2
    order = np.random.default_rng(1).permutation(30)
    x = x[order]  # <- fault
    return x, y


def rows_shuffled_before_they_are_tensors():
    x, y = _parts()
    _train(nn.Linear(4, 2), [(torch.tensor(x, dtype=torch.float32), torch.tensor(y))])


def _right(scores, y):
    return (scores.argmax(dim=0) == y).float().mean()  # <- fault


def largest_score_over_the_other_axis():
    net, y = nn.Linear(4, 5), torch.arange(5)
    scores = net(torch.randn(5, 4))
    F.cross_entropy(scores, y).backward()
    _right(scores, y)


class _Tagger(nn.Module):
    def __init__(self, words, width, tags):
        super().__init__()
        self.embed = nn.Embedding(words, 6)
        self.lstm = nn.LSTM(6, width, bidirectional=True, batch_first=True)
        self.out = nn.Linear(width, tags)  # <- fault: twice the width

    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0])


def layer_behind_a_network_that_goes_both_ways():
    model = _Tagger(20, 5, 3)
    model(torch.randint(0, 20, (4, 7)))


class _Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 8, 2, 2)
        self.mix = nn.Conv2d(8, 4, 3)  # <- fault: no padding
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(self.mix(self.up(self.down(x))))


def labels_of_pixels_that_a_layer_cut_off():
    scores = _Segmenter()(torch.randn(2, 3, 16, 16))
    F.cross_entropy(scores, torch.randint(0, 2, (2, 16, 16)))

"""Whole small training programs with one fault each: declarations, loops and loaders are where it was born."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


def _train(model, loss_of, optimizer=None, steps=4):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class _Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [nn.Linear(4, 8), nn.Linear(8, 8)]  # <- fault: a plain list
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.out(x)


def layers_in_a_plain_list():
    _train(_Listed(), lambda model: model(torch.randn(5, 4)).mean())


def loss_made_anew():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        loss = model(torch.randn(5, 4)).pow(2).mean()
        loss = torch.tensor(loss.item(), requires_grad=True)  # <- fault: no history
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def two_optimizers_of_one_model():
    encoder = nn.Sequential(nn.Linear(8, 3), nn.Tanh())
    decoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh())
    first = torch.optim.Adam(encoder.parameters())
    second = torch.optim.Adam(encoder.parameters())  # <- fault: the decoder's
    for _ in range(4):
        x = torch.rand(6, 8)
        loss = F.mse_loss(decoder(encoder(x)), x)
        for one in (first, second):
            one.zero_grad()
        loss.backward()
        first.step()
        second.step()


class _Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 10)  # <- fault: batch_first
        self.fc = nn.Linear(10, 3)

    def forward(self, x):
        _, (hidden, _) = self.lstm(x)
        return self.fc(hidden[-1])


def batch_taken_for_time():
    F.cross_entropy(_Recurrent()(torch.randn(12, 7, 6)), torch.randint(0, 3, (12,)))


class _Started(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6)  # <- fault: batch_first

    def forward(self, x):
        state = torch.zeros(1, len(x), 6), torch.zeros(1, len(x), 6)
        return self.lstm(x, state)[0]


def state_for_the_batch_before_time():
    _Started()(torch.randn(5, 11, 4))


class _Forecast(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 8, 2, batch_first=True)

    def forward(self, x):
        start = torch.zeros(x.size(0), 2, 8)  # <- fault: layers come first
        return self.gru(x, start)[0]


def state_in_another_order():
    _Forecast()(torch.randn(4, 9, 5))


class _Block(nn.Module):
    def __init__(self, channels, made):
        super().__init__()
        self.conv = nn.Conv2d(channels, made, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


class _Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = _Block(4, 4)
        self.second = _Block(4, 8)  # <- fault: x does not grow with it

    def forward(self, x):
        return self.second(self.first(x))


def one_instance_of_a_block():
    _Blocks()(torch.randn(2, 4, 6, 6))


def sequence_moved_to_a_device():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 14 * 14, 10),  # <- fault: 13
    )
    model = model.to("cpu")
    model(torch.randn(2, 1, 28, 28))


def one_image_without_its_batch():
    model = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(1), nn.Linear(4 * 4 * 4, 3))
    images = torch.rand(6, 1, 8, 8)
    model(images)
    image = images[0]  # <- fault: one without a batch
    model(image)


class _Labelled(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        label = F.one_hot(torch.tensor(index % 3), 3)  # <- fault: class numbers
        return torch.randn(4), label


def one_hot_labels_from_a_loader():
    model = nn.Linear(4, 3)
    for x, y in DataLoader(_Labelled(), batch_size=3):
        F.cross_entropy(model(x), y)


class _Masks(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = torch.rand(3, 8, 8)
        mask = (image.sum(0, keepdim=True) > 1).long()  # <- fault: keepdim
        return image, mask


def class_numbers_with_a_channel():
    model = nn.Conv2d(3, 2, 1)
    for x, y in DataLoader(_Masks(), batch_size=2):
        F.cross_entropy(model(x), y)


class _Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 1, dtype=torch.float64))  # <- fault: the odd one

    def forward(self, x):
        return x @ self.weight


def parameter_of_another_dtype():
    nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), _Own())(torch.randn(3, 4))


def joined_along_the_batch():
    images = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())(torch.rand(5, 1, 8, 8))
    table = nn.Linear(3, 6)(torch.rand(5, 3))
    torch.cat([images, table], dim=0)  # <- fault: dim


def state_carried_over():
    cell, out = nn.GRUCell(3, 5), nn.Linear(5, 1)
    hidden = torch.zeros(2, 5)
    for _ in range(3):
        hidden = cell(torch.randn(2, 3), hidden)  # <- fault: not detached
        out(hidden).mean().backward()


def noise_without_its_image():
    generator = nn.Sequential(nn.ConvTranspose2d(10, 8, 4), nn.Tanh())
    noise = torch.randn(4, 10)  # <- fault: 4x10x1x1
    generator(noise)


class _Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 7)
        self.norm = nn.BatchNorm1d(7)

    def forward(self, x):
        return self.norm(self.fc(x))  # <- fault: channels are last


def norm_over_the_last_axis():
    _Normed()(torch.randn(4, 9, 5))


def nan_refused_by_a_distribution():
    mean = nn.Linear(3, 1)
    for _ in range(2):
        weight = mean.weight / (mean.weight - mean.weight.detach())  # <- fault: 0 below
        torch.distributions.Normal(F.linear(torch.rand(2, 3), weight - weight), 1.0)


class _Positions(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        rate = 100.0 ** -(torch.arange(0, width, 2) // width).float()  # <- fault: whole
        self.register_buffer("rate", rate)

    def forward(self, x):
        return torch.sin(x[..., None] * self.rate)


def whole_division_of_a_range():
    _Positions()(torch.rand(2, 5))


class _Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 5 * 5, 4)  # <- fault: 6

    def forward(self, x):
        return self.fc(F.max_pool2d(x, 2).flatten(1))


def layer_of_a_captured_graph():
    torch._dynamo.reset()
    torch.compile(_Dense(), backend="eager")(torch.randn(2, 3, 12, 12))

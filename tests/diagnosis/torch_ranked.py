"""Programs in which several lines are in question: the evidence of the whole run says which to name."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset


def called_with_less_than_before():
    judge = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1))
    made = nn.Linear(4, 8)(torch.randn(3, 4))
    label = torch.randn(3, 4)
    judge(torch.cat([torch.randn(3, 8), label], 1))
    judge(made)  # <- fault: without its label


def made_with_other_channels_than_real_ones():
    judge = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    maker = nn.ConvTranspose2d(5, 1, 4)  # <- fault: 3 channels
    judge(torch.randn(2, 3, 6, 6))
    made = maker(torch.randn(2, 5, 4, 4))
    judge(made)


class _Words(nn.Module):
    def __init__(self, count, width=8):
        super().__init__()
        self.table = nn.Embedding(count, width)

    def forward(self, ids):
        return self.table(ids)


def table_without_room_for_padding():
    known = {word: at for at, word in enumerate(["the", "cat", "sat"], 1)}
    model = _Words(len(known))  # <- fault: one more
    model(torch.tensor([1, 3]))


class _Marked(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        mask = torch.zeros(4, 4, dtype=torch.long)
        mask[0] = 255
        return torch.rand(3, 4, 4), mask


def void_that_the_loss_does_not_know():
    model = nn.Conv2d(3, 5, 1)
    loss = nn.CrossEntropyLoss()  # <- fault: ignore_index
    for x, y in DataLoader(_Marked(), batch_size=2):
        loss(model(x), y)


def one_number_a_sample():
    images = torch.randn(6, 1, 5, 5)
    scale = torch.linspace(0.1, 0.9, 50)[torch.randint(0, 50, (6,))]  # <- fault: 6x1x1x1
    scale * images


class _Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(3, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        steps, _ = self.cell(x)  # <- fault: only the last
        return self.head(steps)


def every_step_against_one_class():
    F.cross_entropy(_Last()(torch.randn(4, 5, 3)), torch.tensor([0, 1, 1, 0]))


def column_to_a_loss_of_rows():
    out = torch.sigmoid(nn.Linear(3, 1)(torch.randn(8, 3)))
    target = torch.rand(8)
    nn.BCELoss()(out, target)  # <- fault: squeeze


class _Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.month = nn.Embedding(12, 4)

    def forward(self, row):
        code, rest = row[:, 0], row[:, 1:]  # <- fault: long
        return torch.cat([self.month(code), rest], 1)


def codes_in_a_table_of_floats():
    table = torch.cat([torch.randint(0, 12, (5, 1)).float(), torch.randn(5, 2)], 1)
    _Codes()(table)


class _Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 8), nn.Linear(6, 8)
        self.head = nn.Linear(16, 2)

    def forward(self, a, b):
        both = torch.cat((self.one(a), self.other(b)), dim=0)  # <- fault: axis 1
        return self.head(both)


def joined_along_the_batch():
    _Both()(torch.randn(3, 4), torch.randn(3, 6))


class _Tower(nn.Module):
    def __init__(self, classes=100):
        super().__init__()
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(x)


def weights_of_another_head():
    saved = _Tower(classes=10).state_dict()
    again = _Tower()  # <- fault: classes=10
    again.load_state_dict(saved)


def pixels_made_numbers_but_not_scaled():
    raw = torch.randint(0, 256, (6, 4, 4), dtype=torch.uint8)
    images = raw.float()  # <- fault: / 255
    data = images[:3].view(-1, 16)
    F.binary_cross_entropy(torch.sigmoid(nn.Linear(16, 16)(data)), data)


def numbers_that_a_product_took_out_of_range():
    raw = torch.randint(0, 256, (6, 16), dtype=torch.uint8)
    data = raw.float() / 255
    target = data * 3 - 1  # <- fault: the cast is right
    F.binary_cross_entropy(torch.sigmoid(nn.Linear(16, 16)(data)), target)


class _Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, kinds):
        return self.norm(self.table(kinds))


def rows_looked_up_for_a_batch_of_one():
    net = _Table()
    loader = DataLoader(torch.arange(9) % 5, batch_size=4)  # <- fault: drop_last
    for kinds in loader:
        net(kinds)


def _table(rows, width):
    angle = np.arange(rows)[:, None] / np.power(100, np.arange(width) / width)[None]
    return torch.from_numpy(np.sin(angle))  # <- fault: float64


class _Placed(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("places", _table(5, 8))
        self.layer = nn.Linear(8, 2)

    def forward(self, x):
        return self.layer(x + self.places)


def buffer_of_doubles_that_a_helper_made():
    _Placed()(torch.randn(3, 5, 8))


def sum_of_another_dtype_than_autocast_gives():
    layer, x = nn.Linear(8, 8), torch.randn(6, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = torch.zeros_like(x)  # <- fault: dtype of what is added
        total.index_add_(0, torch.tensor([0, 2]), layer(x[:2]))


def half_that_a_line_asked_for():
    x = torch.randn(6, 8)
    total = torch.zeros_like(x)
    added = x[:2].half()  # <- fault: nobody else is half
    total.index_add_(0, torch.tensor([0, 2]), added)


def _padded(rows):
    return nn.utils.rnn.pad_sequence(rows)  # <- fault: batch_first


def padded_with_time_first_against_a_mask_with_the_batch_first():
    x = _padded([torch.randn(4, 3), torch.randn(7, 3), torch.randn(5, 3)])
    scores = nn.Linear(3, 1)(nn.Linear(3, 3)(x)).squeeze(-1)
    mask = torch.arange(x.size(1))[None, :] < torch.tensor([4, 7, 5])[:, None]
    scores.masked_fill(~mask, -1e9)


def column_of_labels_of_which_some_rows_are_taken():
    labels = torch.tensor([[0], [2], [1], [1], [2], [0]])  # <- fault: one dimension
    some = labels[:4]
    for x, y in DataLoader(TensorDataset(torch.randn(4, 5), some), batch_size=2):
        F.cross_entropy(nn.Linear(5, 3)(x), y)


def labels_that_a_slice_made_a_column():
    labels = torch.tensor([0, 2, 1, 1])
    column = labels[:, None]  # <- fault: what it was made of has one dimension
    for x, y in DataLoader(TensorDataset(torch.randn(4, 5), column), batch_size=2):
        F.cross_entropy(nn.Linear(5, 3)(x), y)


def steps_that_a_stride_left_too_few_for_an_alignment():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(4, 6, 3, stride=2, padding=1),
        nn.Conv1d(6, 5, 3, stride=4, padding=1),  # <- fault: leaves 4 of 16
    )
    scores = net(torch.randn(2, 4, 32)).permute(2, 0, 1).log_softmax(2)
    sizes = torch.full((2,), 6, dtype=torch.long)
    loss = nn.CTCLoss()(scores, torch.randint(1, 5, (2, 6)), torch.full((2,), scores.size(0)), sizes)
    loss.backward()


def target_longer_than_the_steps_that_came():
    torch.manual_seed(0)
    net, sizes = nn.Conv1d(4, 5, 3, padding=1), torch.full((2,), 6, dtype=torch.long)
    scores = net(torch.randn(2, 4, 4)).permute(2, 0, 1).log_softmax(2)
    loss = F.ctc_loss(scores, torch.randint(1, 5, (2, 6)), torch.full((2,), 4), sizes)  # <- fault: no stride
    loss.backward()

"""Programs as they are built of parts: layers from lists, dicts and factories, two optimizers, last batches."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset


def _descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class _Pools(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for width in (8, 8, 8, 8, 8):
            layers.append(nn.LazyConv2d(width, 3, padding=1))
            layers.append(nn.MaxPool2d(2))  # <- fault: one too many
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return self.body(x)


def pools_from_a_list():
    _Pools()(torch.rand(2, 3, 16, 16))


class _Heads(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.heads = nn.ModuleDict({key: nn.Linear(6, size) for key, size in sizes.items()})

    def forward(self, x):
        return {key: head(x) for key, head in self.heads.items()}


def heads_from_a_dict():
    torch.manual_seed(0)
    sizes = {"age": 2, "place": 4}  # <- fault: five places
    model = _Heads(sizes)
    places = torch.arange(40) % 5
    F.cross_entropy(model(torch.randn(40, 6))["place"], places).backward()


def labels_that_count_from_one():
    classes = torch.arange(12) % 3 + 1  # <- fault: from 1
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    F.cross_entropy(model(torch.randn(12, 4)), classes).backward()


class _Rates(nn.Module):
    def __init__(self, given, hidden):
        super().__init__()
        self.first = nn.Linear(given, hidden)
        self.second = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def batch_size_for_a_width():
    batch_size = 20
    model = _Rates(batch_size, 30)  # <- fault: not the width
    model(torch.randn(batch_size, 7)).mean().backward()


def same_sides_as_channels():
    up = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
    join = nn.Conv2d(16, 16, 3, padding=1)  # <- fault: takes both halves
    one, other = up(torch.rand(2, 3, 16, 16)), up(torch.rand(2, 3, 16, 16))
    join(torch.cat([one, other], 1))


class _Depth(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 8, 8)
        self.up1 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, padding=1))
        self.up2 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 1, 3, padding=1))  # <- fault: by 4

    def forward(self, x):
        return self.up2(self.up1(self.down(x)))


def decoder_that_stops_short():
    image, depth = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    (_Depth()(image) - depth).abs().mean().backward()


def class_weights_of_counts():
    counts = torch.tensor([50.0, 30.0, 20.0])  # <- fault: a class is missing
    loss = nn.CrossEntropyLoss(weight=counts.sum() / counts)
    loss(nn.Linear(5, 4)(torch.randn(8, 5)), torch.zeros(8, dtype=torch.long))


def mean_of_an_empty_choice():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(4):
        chosen = torch.full((6,), step < 2)
        _descend(optimizer, model(torch.randn(6, 4))[chosen].mean())  # <- fault: the mean of nothing


def model_without_elements():
    with torch.device("meta"):
        model = nn.Linear(4, 2)  # <- fault: on meta
    model(torch.randn(3, 4))


class _Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.score, self.value = nn.Linear(6, 1), nn.Linear(6, 6)

    def forward(self, x):
        weight = self.score(x).detach().softmax(1)  # <- fault: cuts the graph
        return (weight * self.value(x)).sum(1)


def detached_in_forward():
    model = _Cut()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        _descend(optimizer, model(torch.randn(3, 5, 6)).pow(2).mean())


def log_probabilities_made_anew():
    policy = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(policy.parameters())
    for _ in range(4):
        kept = []
        for _ in range(3):
            p = policy(torch.randn(4)).log_softmax(0)[0]
            kept.append(torch.tensor(p.item(), requires_grad=True))  # <- fault: no history
        _descend(optimizer, -sum(kept))


class _Trainer:
    def __init__(self):
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.head = nn.Linear(8, 3)
        self.optimizer = torch.optim.Adam(self.body.parameters())  # <- fault: not the head's

    def step(self, x, y):
        _descend(self.optimizer, F.cross_entropy(self.head(self.body(x)), y))


def optimizer_without_the_head():
    trainer = _Trainer()
    for _ in range(4):
        trainer.step(torch.randn(5, 6), torch.randint(0, 3, (5,)))


def generator_in_the_loss_of_its_critic():
    maker, critic = nn.Linear(4, 6), nn.Linear(6, 1)
    of_maker, of_critic = (torch.optim.Adam(one.parameters()) for one in (maker, critic))
    for _ in range(2):
        made = maker(torch.randn(5, 4))
        judged = critic(made)  # <- fault: detach
        _descend(of_critic, judged.mean() - critic(torch.randn(5, 6)).mean())
        _descend(of_maker, -critic(made).mean())


def generator_in_the_loss_of_its_critic_afterwards():
    maker = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    critic = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))
    of_maker, of_critic = (torch.optim.Adam(one.parameters()) for one in (maker, critic))
    for _ in range(2):
        made = maker(torch.randn(5, 4))
        _descend(of_maker, -critic(made).mean())
        judged = critic(made)  # <- fault: detach
        _descend(of_critic, judged.mean() - critic(torch.randn(5, 6)).mean())


def advantage_in_the_loss_of_its_actor():
    actor, critic = nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    of_actor, of_critic = (torch.optim.Adam(one.parameters()) for one in (actor, critic))
    x = torch.randn(5, 4)
    chosen = torch.distributions.Categorical(logits=actor(x))
    advantage = torch.ones(5) - critic(x).squeeze(1)
    advantage.pow(2).mean().backward(retain_graph=True)
    of_critic.step()
    loss = -(chosen.log_prob(chosen.sample()) * advantage).mean()  # <- fault: detach
    _descend(of_actor, loss)


def norm_of_the_last_batch():
    loader = DataLoader(TensorDataset(torch.randn(9, 4)), batch_size=4)  # <- fault: keeps a rest of 1
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for (x,) in loader:
        _descend(optimizer, model(x).pow(2).mean())


class _Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        _, state = self.rnn(x)
        return self.out(state.squeeze())  # <- fault: the batch of 1 too


def squeeze_of_the_last_batch():
    model, data = _Last(), torch.randn(9, 5, 4)
    for rows in data.split(4):
        F.cross_entropy(model(rows), torch.zeros(len(rows), dtype=torch.long)).backward()


class _Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16)  # <- fault: the sequence first
        self.layers = nn.TransformerEncoder(layer, 1)

    def forward(self, x, padding):
        return self.layers(x, src_key_padding_mask=padding)


def batch_first_to_an_encoder():
    _Encoder()(torch.randn(3, 7, 8), torch.zeros(3, 7, dtype=torch.bool))


def network_that_a_step_killed():
    torch.manual_seed(0)
    x = torch.rand(64, 5) * 10
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)  # <- fault: the step
    for _ in range(15):
        _descend(optimizer, F.mse_loss(model(x), x.sum(1, keepdim=True)))


class Rows(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return torch.zeros(index + 1)


def rows_of_unequal_length():
    for _ in DataLoader(Rows(), batch_size=3):  # <- fault: nothing pads them
        pass

"""PyTorch programs whose values or learning are wrong at the default level, one fault each."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def _descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _classified(net, x, y, optimizer, steps):
    for _ in range(steps):
        _descend(optimizer, F.cross_entropy(net(x), y))


def loss_that_runs_away_but_stays_finite():
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)  # <- fault: inputs of about 20
    x = torch.randn(32, 4) * 20
    for _ in range(8):
        _descend(optimizer, F.mse_loss(net(x), x.sum(1, keepdim=True)))


def loss_that_swings_ever_wider():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=2.0)  # <- fault
    x = torch.randn(32, 4)
    y = 10 * x.sum(1, keepdim=True)
    for _ in range(30):
        _descend(optimizer, F.mse_loss(net(x), y))


def units_that_the_first_step_killed():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=500.0)  # <- fault
    x, y = torch.rand(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 12)


def units_dead_by_their_bias():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.constant_(net[0].bias, -50.0)  # <- fault
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.rand(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 6)


def gradients_never_cleared():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(6):
        loss = F.cross_entropy(net(x), y)
        loss.backward()  # <- fault: no zero_grad
        optimizer.step()  # <- fault


def gradients_of_another_optimizer_cleared():
    torch.manual_seed(0)
    body, head = nn.Linear(8, 16), nn.Linear(16, 3)
    first = torch.optim.SGD(body.parameters(), lr=0.01)
    second = torch.optim.SGD(head.parameters(), lr=0.01)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(6):
        first.zero_grad()
        loss = F.cross_entropy(head(torch.relu(body(x))), y)
        loss.backward()  # <- fault: second.zero_grad() is missing
        first.step()
        second.step()  # <- fault


def gradients_that_vanish():
    torch.manual_seed(1)
    layers = [part for _ in range(9) for part in (nn.Linear(8, 8), nn.Sigmoid())]  # <- fault
    net = nn.Sequential(*layers, nn.Linear(8, 3))  # <- fault
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 6)


def gradients_that_explode():
    torch.manual_seed(0)
    cell, out = nn.RNN(4, 16, batch_first=True), nn.Linear(16, 1)
    with torch.no_grad():
        cell.weight_hh_l0.mul_(6)
    optimizer = torch.optim.SGD([*cell.parameters(), *out.parameters()], lr=1e-3)
    x = torch.randn(8, 60, 4)
    cell.nonlinearity = "relu"
    for _ in range(5):
        state = torch.zeros(8, 16)
        for t in range(60):
            state = F.relu(x[:, t] @ cell.weight_ih_l0.T + state @ cell.weight_hh_l0.T)  # <- fault
        _descend(optimizer, out(state).mean() * 1e-12)


class _HeadLeftOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.gate, self.head = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 3)  # <- fault

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def layer_that_forward_forgets():
    net = _HeadLeftOut()
    optimizer = torch.optim.Adam(net.parameters())
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 4)


def ctc_of_too_short_an_input():
    torch.manual_seed(0)
    net = nn.Linear(6, 5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x = torch.randn(4, 2, 6)
    targets = torch.randint(1, 5, (2, 7))
    for _ in range(2):
        scores = net(x).log_softmax(2)
        loss = F.ctc_loss(scores, targets, torch.tensor([4, 4]), torch.tensor([7, 7]))  # <- fault
        _descend(optimizer, loss)


def log_of_a_softmax():
    torch.manual_seed(0)
    net = nn.Linear(8, 3)
    with torch.no_grad():
        net.weight.mul_(400)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(3):
        probabilities = torch.softmax(net(x), 1)
        _descend(optimizer, -torch.log(probabilities)[range(32), y].mean())  # <- fault


def exp_over_its_sum():
    torch.manual_seed(0)
    net = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(32, 8) * 300, torch.randint(0, 3, (32,))
    for _ in range(2):
        e = torch.exp(net(x))  # <- fault
        p = e / e.sum(1, keepdim=True)
        _descend(optimizer, F.nll_loss(torch.log(p), y))


def sum_of_losses_with_a_usual_step():
    torch.manual_seed(0)
    net = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)  # <- fault
    x = torch.randn(512, 8)
    y = x.sum(1, keepdim=True)
    for _ in range(12):
        loss = F.mse_loss(net(x), y, reduction="sum")  # <- fault
        _descend(optimizer, loss)


def data_with_missing_values():
    torch.manual_seed(0)
    table = torch.randn(64, 5)
    table[7, 2] = float("nan")  # <- fault
    x, y = table[:, :4], table[:, 4:]
    net = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for batch, target in DataLoader(TensorDataset(x, y), batch_size=16):
        _descend(optimizer, F.mse_loss(net(batch), target))


def labels_divided_by_nothing():
    torch.manual_seed(0)
    x, raw = torch.randn(32, 4), torch.full((32, 1), 3.0)
    y = (raw - raw.mean()) / raw.std()  # <- fault: all alike
    net = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(3):
        _descend(optimizer, F.mse_loss(net(x), y))


def optimizer_of_a_layer_that_was_replaced():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)  # <- fault: before the head
    net[2] = nn.Linear(16, 3)  # <- fault
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 5)


def schedule_that_ends_at_zero():
    torch.manual_seed(0)
    net = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0, 1 - step))  # <- fault
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(10):
        _descend(optimizer, F.cross_entropy(net(x), y))
        schedule.step()


def clipped_before_backward():
    torch.manual_seed(0)
    net = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(5):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)  # <- fault
        loss.backward()
        optimizer.step()


def left_in_evaluation():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))
    net.eval()  # <- fault
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 6)


def norm_of_one_sample():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    data = TensorDataset(torch.randn(33, 8), torch.randint(0, 3, (33,)))
    for x, y in DataLoader(data, batch_size=16):  # <- fault: the last batch
        _descend(optimizer, F.cross_entropy(net(x), y))


def bytes_as_they_are():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randint(0, 256, (32, 1, 8, 8)).float()  # <- fault
    y = torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 20)


def clipped_while_scaled():
    torch.manual_seed(0)
    net = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(4):
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(net(x), y)).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)  # <- fault
        scaler.step(optimizer)
        scaler.update()


def evaluated_and_never_trained_again():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    for _ in range(5):
        _descend(optimizer, F.cross_entropy(net(x), y))
        net.eval()  # <- fault: no train() after it
        with torch.no_grad():
            F.cross_entropy(net(x), y)


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.hidden = [nn.Linear(16, 16)]  # <- fault: a plain list
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(torch.relu(self.first(x))))
        return self.last(x)


def layers_in_a_list_of_a_compiled_model():
    torch.manual_seed(0)
    net = torch.compile(Listed(), backend="aot_eager")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    _classified(net, x, y, optimizer, 5)


def optimizer_made_before_the_head_was_replaced():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5)).requires_grad_(False)
    net[2].requires_grad_(True)
    optimizer = torch.optim.Adam([one for one in net.parameters() if one.requires_grad])  # <- fault
    net[2] = nn.Linear(16, 3)
    x, y = torch.rand(32, 8), torch.randint(0, 3, (32,))
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def clipped_before_backward_until_it_overflows():
    torch.manual_seed(0)
    net, x, y = nn.Linear(4, 1), torch.randn(32, 4) * 1e3, torch.randn(32, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)  # <- fault: after backward
        loss.backward()
        optimizer.step()

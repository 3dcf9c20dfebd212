"""PyTorch programs that are right, each near a fault of values or learning."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.diagnosis.values_torch import _descend


def _data():
    torch.manual_seed(0)
    return torch.randn(32, 8), torch.randint(0, 3, (32,))


def _network(*middle):
    return nn.Sequential(nn.Linear(8, 16), *middle, nn.ReLU(), nn.Linear(16, 3))


def gradients_summed_over_small_batches():
    x, y = _data()
    net = _network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for step in range(16):
        (F.cross_entropy(net(x), y) / 4).backward()
        if step % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()


def gradients_set_to_zero():
    x, y = _data()
    net = _network()
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(6):
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


def gradients_that_fade_on_purpose():
    x, y = _data()
    net = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(6):
        for one in net.parameters():
            if one.grad is not None:
                one.grad.mul_(0.9)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def maker_and_critic_in_turn():
    torch.manual_seed(0)
    maker, critic = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    first = torch.optim.Adam(maker.parameters(), lr=1e-3)
    second = torch.optim.Adam(critic.parameters(), lr=1e-3)
    real = torch.randn(16, 8)
    for _ in range(8):
        fake = maker(torch.randn(16, 4))
        second.zero_grad()
        loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()
        loss.backward()
        second.step()
        first.zero_grad()
        F.softplus(-critic(fake)).mean().backward()
        first.step()


def clipped_after_unscaling():
    x, y = _data()
    net = _network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(5):
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(net(x), y)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


def averaged_before_unscaling():
    x, y = _data()
    net = _network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(5):
        optimizer.zero_grad()
        for _ in range(2):
            scaler.scale(F.cross_entropy(net(x), y)).backward()
        for one in net.parameters():
            one.grad /= 2
        scaler.step(optimizer)
        scaler.update()


def step_size_from_zero_and_back():
    x, y = _data()
    net = _network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step, 11 - step) / 5)
    for _ in range(12):
        _descend(optimizer, F.cross_entropy(net(x), y))
        schedule.step()


def evaluated_between_epochs():
    x, y = _data()
    net = _network(nn.BatchNorm1d(16), nn.Dropout(0.1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(5):
        net.train()
        _descend(optimizer, F.cross_entropy(net(x), y))
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(x), y)


def norms_frozen_in_fine_tuning():
    x, y = _data()
    net = _network(nn.BatchNorm1d(16), nn.Dropout(0.5))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for one in net.modules():
        if isinstance(one, nn.BatchNorm1d):
            one.eval()
    for _ in range(5):
        _descend(optimizer, F.cross_entropy(net(x), y))


def gradient_of_an_image_in_evaluation():
    x, y = _data()
    net = _network(nn.BatchNorm1d(16))
    net.eval()
    x.requires_grad_()
    for _ in range(5):
        x.grad = None
        F.cross_entropy(net(x), y).backward()
        with torch.no_grad():
            x += 0.01 * x.grad.sign()


def margin_that_is_reached():
    torch.manual_seed(0)
    x = torch.cat([torch.randn(16, 4) + 6, torch.randn(16, 4) - 6])
    y = torch.tensor([1.0] * 16 + [-1.0] * 16)
    net = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(40):
        _descend(optimizer, torch.clamp(1 - y * net(x)[:, 0], min=0).mean())


class _TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.aside = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        h = torch.relu(self.body(x))
        return self.head(h), self.aside(h)


def side_loss_not_weighed_yet():
    x, y = _data()
    net = _TwoHeads()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(6):
        logits, value = net(x)
        _descend(optimizer, F.cross_entropy(logits, y) + 0.0 * value.mean())


def head_kept_as_it_is():
    x, y = _data()
    net = _TwoHeads()
    net.head.requires_grad_(False)
    net.aside.requires_grad_(False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(5):
        _descend(optimizer, F.cross_entropy(net(x)[0], y))


def body_alone_given_to_the_optimizer():
    x, y = _data()
    body, probe = nn.Linear(8, 16), nn.Linear(16, 3)
    for one in probe.parameters():
        one.requires_grad = False
    optimizer = torch.optim.SGD(body.parameters(), lr=0.01)
    for _ in range(5):
        _descend(optimizer, F.cross_entropy(probe(torch.relu(body(x))), y))


def loss_that_goes_up_for_a_while():
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.99)
    x = torch.randn(64, 4)
    for _ in range(40):
        _descend(optimizer, F.mse_loss(net(x), x.sum(1, keepdim=True)))


def rows_of_an_embedding_few_at_a_time():
    torch.manual_seed(0)
    table, head = nn.Embedding(1000, 8, sparse=True), nn.Linear(8, 3)
    first = torch.optim.SparseAdam(table.parameters(), lr=0.01)
    second = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(6):
        words, y = torch.randint(0, 1000, (16,)), torch.randint(0, 3, (16,))
        first.zero_grad()
        second.zero_grad()
        F.cross_entropy(head(table(words)), y).backward()
        first.step()
        second.step()


def decay_alone_moves_the_weights():
    x, _ = _data()
    net = nn.Linear(8, 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(6):
        _descend(optimizer, (net(x) * 0.0).mean())


def bytes_scaled_before_use():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    x = torch.randint(0, 256, (32, 1, 8, 8)).float() / 255
    y = torch.randint(0, 3, (32,))
    for _ in range(10):
        _descend(optimizer, F.cross_entropy(net(x), y))


def deep_network_with_residuals():
    x, y = _data()
    layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(12))
    head = nn.Linear(8, 3)
    optimizer = torch.optim.SGD([*layers.parameters(), *head.parameters()], lr=0.01)
    for _ in range(6):
        h = x
        for one in layers:
            h = h + torch.tanh(one(h))
        _descend(optimizer, F.cross_entropy(head(h), y))


def ctc_of_a_long_input():
    torch.manual_seed(0)
    net = nn.Linear(6, 5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, targets = torch.randn(20, 2, 6), torch.randint(1, 5, (2, 7))
    for _ in range(3):
        loss = F.ctc_loss(net(x).log_softmax(2), targets, torch.tensor([20, 20]), torch.tensor([7, 7]))
        _descend(optimizer, loss)


def ctc_that_skips_what_is_too_short():
    torch.manual_seed(0)
    net = nn.Linear(6, 5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, targets = torch.randn(20, 2, 6), torch.randint(1, 5, (2, 7))
    lengths = torch.tensor([20, 4])
    for _ in range(3):
        scores = net(x).log_softmax(2)
        loss = F.ctc_loss(scores, targets, lengths, torch.tensor([7, 7]), zero_infinity=True)
        _descend(optimizer, loss)


def image_trained_through_a_network_that_is_not():
    net = _network(nn.ReLU())
    image, wanted = torch.zeros(4, 8, requires_grad=True), torch.randn(4, 3)
    optimizer = torch.optim.Adam([image], lr=0.05)
    for _ in range(6):
        optimizer.zero_grad()
        net.zero_grad()
        F.mse_loss(net(image), wanted).backward()
        optimizer.step()


def optimizer_made_after_the_head_was_replaced():
    net, (x, y) = _network().requires_grad_(False), _data()
    net[2] = nn.Linear(16, 3)
    optimizer = torch.optim.Adam([one for one in net.parameters() if one.requires_grad])
    for _ in range(6):
        _descend(optimizer, F.cross_entropy(net(x), y))


def clipped_after_backward():
    (x, y), net = _data(), _network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(8):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

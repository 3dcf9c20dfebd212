"""PyTorch programs whose whole numbers leave the range of their type: ``# <- fault`` marks the op."""

import numpy as np
import torch

from tests.diagnosis.given import given, images


@given(images(0), images(1))
def two_images_added(one, other):
    both = one + other  # <- fault: 200 + 100 is 44
    return both.float().mean()


@given(images(2))
def an_image_made_brighter(image):
    bright = image + 60  # <- fault
    return bright.clamp(max=255)


@given(images(3))
def contrast_in_bytes(image):
    return (image * 2).float() / 255  # <- fault


@given(images(4))
def energy_of_an_image(image):
    energy = image * image  # <- fault: up to 255 squared
    return energy.float().sum()


@given(images(5), images(6))
def difference_of_frames(before, now):
    change = now - before  # <- fault: below zero
    return change.float().abs().mean()


@given((list(range(1, 16)), np.int32))
def factorial_in_a_loop(numbers):
    total = torch.ones((), dtype=torch.int32)
    for n in range(1, 15):
        total = total * n  # <- fault: 13! is beyond int32
    return total + numbers


@given(([60_000, 70_000, 80_000], np.int32))
def squares_of_large_numbers(widths):
    return torch.sqrt((widths**2).float())  # <- fault


@given((np.full(3000, 1_000_000), np.int32))
def sum_kept_in_int32(amounts):
    total = torch.sum(amounts, dtype=torch.int32)  # <- fault: 3e9
    return total / amounts.numel()


@given((np.full(3000, 1_000_000), np.int32))
def running_sum_in_int32(amounts):
    balance = torch.cumsum(amounts, 0, dtype=torch.int32)  # <- fault
    return balance[-1]


@given(([3, 50, 49], np.int32), ([86_400_000], np.int32))
def days_in_milliseconds(days, per_day):
    times = days * per_day  # <- fault: 50 days are beyond int32
    return times.double() / 1000


@given(([1_700_000_000_123, 1_700_000_111_456], np.int64))
def stamps_put_into_int32(stamps):
    short = stamps.to(torch.int32)  # <- fault
    return short - short[0]


@given((np.linspace(0, 1.2, 48), np.float32))
def pixels_scaled_without_a_clamp(image):
    shown = (image * 255).to(torch.uint8)  # <- fault: up to 306
    return shown.float().mean()


@given(([3.0e9, 12.0], np.float32))
def large_float_to_int32(sizes):
    return sizes.int() // 2  # <- fault


@given((np.full((2, 40), 30), np.int8))
def a_mean_in_int8(levels):
    total = levels.sum(1, dtype=torch.int8)  # <- fault
    return total.float() / 40


@given(([2**40, 2**41], np.int64), ([2**30, 2**31], np.int64))
def product_beyond_int64(rows, columns):
    cells = rows * columns  # <- fault
    return cells.double()


@given((np.full((4, 5), 20_000), np.int16), (np.full((5, 3), 3), np.int16))
def product_of_matrices_in_int16(one, other):
    return (one @ other).float()  # <- fault


@given(([200, 210, 220], np.uint8), ([100, 90, 80], np.uint8))
def mean_of_two_bytes(one, other):
    middle = (one + other) // 2  # <- fault
    return middle.float()


@given(([-128, 5], np.int8))
def size_of_the_least_number(levels):
    return torch.abs(levels).float()  # <- fault: 128 is beyond int8


@given(([100], np.int16), ([7], np.int16))
def counter_in_place(counter, rounds):
    for _ in range(5):
        counter = counter.mul(rounds)  # <- fault: after three rounds
    return counter


@given(([5, 300, 7], np.int64))
def labels_kept_in_bytes(labels):
    kept = labels.to(torch.uint8)  # <- fault: 300 is another class then
    return torch.nn.functional.one_hot(kept.long(), 301).float().sum(0)


@given(([1, 0, 1, 2], np.int64), ([1, 1, 1, 2], np.int64))
def accuracy_in_whole_numbers(guess, labels):
    correct = (guess == labels).sum()
    return correct // labels.size(0)  # <- fault: 3 of 4 are 0


@given(([1, 0, 1, 1, 0], np.int64))
def mean_of_flags_in_whole_numbers(flags):
    return flags.sum() // len(flags)  # <- fault


@given(([10, 20, 70], np.int64), (np.eye(3), np.float32))
def weights_of_nothing(counts, logits):
    weights = (counts // counts.sum()).float()  # <- fault: all 0, and the loss is NaN
    return torch.nn.functional.cross_entropy(logits, torch.arange(3), weight=weights)

"""PyTorch programs whose whole numbers stay in range, or wrap around as they are meant to."""

import numpy as np
import torch

from tests.diagnosis.given import given, images


@given((np.arange(1, 9), np.int32))
def hash_of_words(words):
    key = torch.full((), 5381, dtype=torch.int32)
    for word in words:
        key = key * 33 + word
    return key


@given((np.arange(1, 9), np.int64))
def buckets_by_a_large_factor(ids):
    return (ids * 2654435761 * 97531) % 1000


@given((np.arange(1, 9), np.int32))
def fnv_by_bits(words):
    key = torch.full((), -2128831035, dtype=torch.int32)
    for word in words:
        key = (key ^ word) * 16777619
    return key


@given(([12345], np.int32))
def linear_congruence(state):
    found = []
    for _ in range(6):
        state = state * 1103515245 + 12345
        found.append((state >> 16) & 0x7FFF)
    return torch.cat(found).float() / 32768


@given(([12345], np.int64))
def uniform_by_a_generator_of_64_bits(state):
    for _ in range(4):
        state = state * 6364136223846793005 + 1442695040888963407
    return state.double() / 2**63


@given(([98765], np.int32))
def xorshift(state):
    for _ in range(4):
        state = state ^ (state << 13)
        state = state ^ (state >> 17)
        state = state ^ (state << 5)
    return state


@given((np.arange(250, 258) % 256, np.uint8))
def checksum_of_bytes(data):
    checksum = torch.sum(data, dtype=torch.uint8)
    return checksum / 1


@given((np.arange(60) * 37 % 256, np.uint8))
def differences_put_together_again(row):
    steps = row[1:] - row[:-1]
    back = torch.cat([row[:1], steps]).cumsum(0, dtype=torch.uint8)
    return back.float()


@given(images(5), images(6))
def difference_that_is_chosen(before, now):
    change = torch.where(now > before, now - before, before - now)
    return change.float().mean()


@given(images(5))
def brighter_as_far_as_it_goes(image):
    bright = torch.where(image > 255 - 60, torch.full_like(image, 255), image + 60)
    return bright.float().mean()


@given(images(5), images(6))
def frames_that_differ(before, now):
    return ((now - before) != 0).float().mean()


@given(images(7))
def image_in_floats(image):
    return (image.float() * 2 - 255).clamp(0, 255).to(torch.uint8)


@given((np.arange(12).reshape(3, 4), np.int64))
def attention_with_large_negatives(scores):
    mask = scores > 4
    hidden = scores.masked_fill(mask, torch.iinfo(torch.int64).min)
    return torch.where(mask, torch.iinfo(torch.int32).min, scores).max(), hidden.max()


@given(([3, -1, 2], np.int64))
def labels_with_a_mark(labels):
    kept = labels.to(torch.int32)
    return torch.where(kept == -1, 0, kept), labels.to(torch.uint8)


@given((np.arange(9), np.int64))
def positions_and_counts(tokens):
    positions = torch.arange(tokens.numel()) * tokens + 7
    return positions.cumsum(0).float(), tokens.sum(), tokens.prod(), tokens**3


@given((np.full(3000, 700_000), np.int32))
def large_sum_that_fits(amounts):
    return amounts.sum(dtype=torch.int32), amounts.sum(), amounts.float().sum()


@given((np.arange(1, 40), np.int64))
def fibonacci_modulo(numbers):
    return (numbers * numbers * 1_000_003) % 97, numbers // 3


@given(([2**62, 7], np.int64), ([2**62, 9], np.int64))
def asks_whether_it_did(one, other):
    total = one + other
    return (total < one).any()


@given((np.linspace(0, 1, 48), np.float32))
def pixels_rounded(image):
    return (image * 255 + 0.5).to(torch.uint8), (image * 2 - 1).to(torch.int8), image.round().long()


@given(([4, 8, 9], np.int64))
def pages_and_halves(counts):
    return (counts + 7) // 8, counts.sum() // 7, 0.1 ** (counts // 30).float(), counts.sum() // len(counts)


@given((np.ones(6), np.int64))
def all_of_them(flags):
    return (flags.sum() // len(flags)).float(), (flags == 1).sum() // flags.numel()

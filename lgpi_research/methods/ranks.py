"""Ranks of scores: 1 is best, ties share the mean rank, one definition of a tie."""

from __future__ import annotations

import numpy as np

__all__ = ["TIE", "count_ranks", "rank_scores"]

TIE = 1e-12
"""Neighbouring scores closer than this share of the range of a draw tie."""

_SLICE = 1 << 15  # scores ranked at a time: what a core's cache holds


def rank_scores(scores: np.ndarray) -> np.ndarray:
    """Rank scores along the last axis.

    Parameters
    ----------
    scores : ndarray of shape (…, n)
        Higher is better; no NaN.

    Returns
    -------
    ndarray of shape (…, n)
        From 1 (best) to n; units whose scores are neighbours closer than `TIE` times
        the range share the mean of their ranks.

    Examples
    --------
    >>> rank_scores(np.array([0.2, 0.9, 0.2, 0.5]))
    array([3.5, 1. , 3.5, 2. ])
    """
    n = scores.shape[-1]
    order = np.argsort(-scores, axis=-1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=-1)
    span = ordered[..., :1] - ordered[..., -1:]
    first = np.ones(scores.shape, dtype=bool)
    first[..., 1:] = ordered[..., :-1] - ordered[..., 1:] > TIE * span
    place = np.arange(n)
    start = np.maximum.accumulate(np.where(first, place, 0), axis=-1)
    last = np.ones(scores.shape, dtype=bool)
    last[..., :-1] = first[..., 1:]
    end = np.minimum.accumulate(np.where(last, place, n - 1)[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, (start + end) / 2 + 1, axis=-1)
    return ranks


def count_ranks(scores: np.ndarray) -> np.ndarray:
    """Count how often each unit has each rank.

    Parameters
    ----------
    scores : ndarray of shape (draws, n)
        Higher is better; no NaN.

    Returns
    -------
    ndarray of int64 and shape (n, 2n − 1)
        Column c counts the rank 1 + c/2: ties can give half ranks.

    Notes
    -----
    Each draw is moved to [1, 2], where doubles are equally spaced, so that their bit
    patterns order as they do; the unit's number replaces the lowest bits, and one plain
    sort of integers gives order and units at once. Draws with neighbours too close for
    that are ranked by `rank_scores`, so both follow one definition of a tie.

    Examples
    --------
    >>> count_ranks(np.array([[0.2, 0.9], [0.7, 0.1], [0.3, 0.3]]))
    array([[1, 1, 1],
           [1, 1, 1]])
    """
    draws, n = scores.shape
    width = 2 * n - 1
    mask = np.int64((1 << max(1, (n - 1).bit_length())) - 1)
    units = np.arange(n, dtype=np.int64)
    close = int(TIE * 2**52) + int(mask) + 8  # in units of the last bit of [1, 2)
    scaled = np.empty((draws, n))
    keys = scaled.view(np.int64)
    tied = np.zeros(draws, dtype=bool)
    step = max(1, _SLICE // n)
    for start in range(0, draws, step):
        part = slice(start, start + step)
        high = scores[part].max(axis=1, keepdims=True)
        span = high - scores[part].min(axis=1, keepdims=True)
        np.subtract(high, scores[part], out=scaled[part])
        scaled[part] /= np.where(span > 0, span, 1.0)
        scaled[part] += 1.0
        keys[part] &= ~mask
        keys[part] |= units
        keys[part].sort(axis=1)
        tied[part] = (np.diff(keys[part], axis=1) <= close).any(axis=1)
        keys[part] &= mask
        keys[part] *= width
        keys[part] += 2 * units
    if tied.any():
        halves = (2 * rank_scores(scores[tied]) - 2).astype(np.int64)
        keys[tied] = units * width + halves
    return np.bincount(keys.ravel(), minlength=n * width).reshape(n, width)

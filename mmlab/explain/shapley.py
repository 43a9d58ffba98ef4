"""Shapley values from orders: players come in one after the other, each is credited with the step that it makes.

The average over all orders is the Shapley value (Shapley 1953). A sample of orders estimates it (Strumbelj and
Kononenko 2010); each order with its reverse estimates it with less noise.
"""

import itertools

import numpy as np

ALL_ORDERS = 6  # players: up to so many, every order is taken, and the values are exact


def list_orders(n: int, draws: int, seed: int) -> tuple[np.ndarray, bool]:
    """Orders of n players, int (k, n), and whether they are all there are.

    Otherwise they are drawn: `draws` orders, each followed by its reverse.
    """
    if n <= ALL_ORDERS:
        return np.array(list(itertools.permutations(range(n)))), True
    rng = np.random.default_rng(seed)
    forth = np.array([rng.permutation(n) for _ in range(draws)])
    return np.stack([forth, forth[:, ::-1]], axis=1).reshape(-1, n), False


def list_coalitions(orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Who is there when, in these orders.

    Returns the coalitions, each once: bool (m, n), the first empty, the last one whole; and the path of each order
    through them: rows of the coalitions, int (k, n + 1).
    """
    k, n = orders.shape
    entered = np.argsort(orders, axis=1)  # when each player comes
    there = entered[:, None, :] < np.arange(n + 1)[None, :, None]
    coalitions, paths = np.unique(there.reshape(-1, n), axis=0, return_inverse=True)
    return coalitions, paths.reshape(k, n + 1)


def credit_players(values: np.ndarray, orders: np.ndarray, paths: np.ndarray, exact: bool) -> np.ndarray:
    """Shapley values and their standard errors, float64 (2, n), from the value of each coalition, (m,).

    The error is 0 where the orders are all there are. Otherwise it comes from the spread over the draws, at least 2.
    """
    n = orders.shape[1]
    steps = np.diff(values[paths], axis=1)
    if not exact:
        # Whoever comes first makes a large step, whoever it is. Without what the other draws' players gain on average
        # in the same place, a player's credit depends less on the places that were drawn; each gets an equal share of
        # what was taken away (a control variate: a value that depends on the number of players alone).
        by_draw = steps.reshape(-1, 2, n)
        of_place = by_draw.mean(axis=1, keepdims=True)
        of_others = (of_place.sum(axis=0) - of_place) / (len(by_draw) - 1)
        steps = (by_draw - of_others).reshape(-1, n) + (values[-1] - values[0]) / n
    credits = np.empty_like(steps)
    np.put_along_axis(credits, orders, steps, axis=1)
    if exact:
        return np.stack([credits.mean(axis=0), np.zeros(n)])
    draws = credits.reshape(-1, 2, n).mean(axis=1)
    return np.stack([draws.mean(axis=0), draws.std(axis=0, ddof=1) / np.sqrt(len(draws))])

"""Deep Kalman filter on linear systems: learned gains and Kalman gains, wrong covariances, weak observability."""

import os
import sys
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from harness import record

from subpixel.algorithms.state_estimation.deepkalman import DeepKalman, Settings
from subpixel.algorithms.state_estimation.kalman import kalman_filter
from subpixel.algorithms.state_estimation.model import Forward

SEED = 0
K = 50
SERIES = 100
ENTRIES = ((0, 0), (0, 1), (1, 0), (1, 1))


class Step(Forward):
    """A linear operator of one step, as the thesis gives it."""

    def __init__(self, A, Q, C):
        self.A, self.Q, self.observed, self.n = A, Q, C, len(A)

    def matrix(self, interval):
        return self.A

    def noise(self, interval):
        return self.Q


class System:
    """A, C, covariances and the mean of x(0)."""

    def __init__(self, A, C, Q, R, P0, mean):
        self.A, self.C, self.Q, self.R, self.P0, self.mean = map(np.array, (A, C, Q, R, P0, mean))

    def simulated(self, series, rng, spread=True):
        """Observations (series, K, m), states (series, K, n), and x(0)."""
        n = len(self.A)
        x = self.mean + (rng.normal(size=(series, n)) @ np.linalg.cholesky(self.P0).T if spread else np.zeros((1, n)))
        start, states = np.broadcast_to(x, (series, n)), []
        for _ in range(K):
            x = x @ self.A.T + rng.normal(size=(series, n)) @ np.linalg.cholesky(self.Q).T
            states.append(x)
        states = np.stack(states, axis=1)
        noise = rng.normal(size=(series, K, len(self.R))) @ np.linalg.cholesky(self.R).T
        return states @ self.C.T + noise, states, start

    def with_covariances(self, Q, R, P0):
        return System(self.A, self.C, Q, R, P0, self.mean)

    def kalman(self, y):
        """States (series, K, n) by the Kalman filter, and its gains (K, n, m)."""
        found = kalman_filter(np.moveaxis(y, 1, 0), self.A, self.Q, self.C, self.R, self.mean, self.P0)
        P = found.predicted_covariance[:, 0]
        gains = P @ self.C.T @ np.linalg.inv(self.C @ P @ self.C.T + self.R)
        return np.moveaxis(found.mean[1:], 0, 1), gains

    def learn(self, y, goal=None, **settings):
        """The filter that has learned from series y (series, K, m), its estimates there, and its gains."""
        given = {"whiteness": False, "steps": (0, 0, 600), **settings}
        model = DeepKalman(lambda: Step(self.A, self.Q, self.C), np.ones(K), self.R, self.P0,
                           settings=Settings(**given))
        training = model.train(y[None], self.mean, None if goal is None else goal[None])
        return model, training, model.estimate(training.learned, y[None], self.mean).mean[0], training.learned.gains[0]


STRONG = System([[1.01, -0.002], [0, 1.005]], np.eye(2), 2e-2**2 * np.eye(2), 3.5e-2**2 * np.eye(2), 1e-2 * np.eye(2),
                [1.0, 1.0])
WEAK = System([[1.0030, 0.0502, 0.0001], [0.0502, 1.0030, 0.0001], [0, 0, 1.0005]], np.eye(3)[:2], 1e-8 * np.eye(3),
              1e-8 * np.eye(2), 25 * np.eye(3), [2.0, 1.0, 1.5])
COLUMNS = (("predicted, lambda_D 10", dict(smoothing=10.0)), ("predicted, lambda_D 0", dict(smoothing=0.0)),
           ("P(0), lambda_D 10", dict(smoothing=10.0, weights="initial")),
           ("Q, lambda_D 10", dict(smoothing=10.0, weights="noise")))


def mse(found, truth):
    return float(np.mean(np.square(found - truth)))


def gains():
    """Figure 6.5, its columns, for one series and for many: root-mean-square difference of each entry."""
    y, _, _ = STRONG.simulated(SERIES, np.random.default_rng(SEED))
    _, wanted = STRONG.kalman(y)
    rows = []
    for series in (1, SERIES):
        for name, settings in COLUMNS:
            _, _, _, found = STRONG.learn(y[:series], steps=(0, 0, 1000), **settings)
            error = np.sqrt(np.mean((found - wanted)**2, axis=0))
            rows.append({"series": series, "P_k and smoothing": name,
                         **{f"K{i + 1}{j + 1}": float(error[i, j]) for i, j in ENTRIES},
                         "largest from date 5 on": float(np.abs(found - wanted)[4:].max()),
                         "mean of the diagonal": float(np.einsum("kii->ki", found).mean()),
                         "of the Kalman gains": float(np.einsum("kii->ki", wanted).mean())})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


TABLE2 = {"KF, true covariances": (3.30e-4, 3.69e-4), "KF, wrong covariances": (2.10e-3, 2.22e-3),
          "DKF, lambda_D 0, lambda_K 0": (7.72e-4, 8.44e-4), "DKF, lambda_D 0, lambda_K 1000": (7.59e-4, 7.47e-4),
          "DKF, lambda_D 1000, lambda_K 0": (7.78e-4, 8.50e-4), "DKF, lambda_D 1000, lambda_K 1000": (7.64e-4, 7.47e-4)}


def covariances():
    """Table 2: complete backpropagation with wrong covariances, on the series learned from and on new ones."""
    rng = np.random.default_rng(SEED + 1)
    y, x, _ = STRONG.simulated(SERIES, rng)
    new_y, new_x, _ = STRONG.simulated(SERIES, rng)
    wrong = STRONG.with_covariances(0.1 * STRONG.Q, 5 * STRONG.R, 0.1 * STRONG.P0)
    filters = {"KF, true covariances": lambda y: STRONG.kalman(y)[0],
               "KF, wrong covariances": lambda y: wrong.kalman(y)[0]}
    for smoothing in (0, 1000):
        for terminal in (0, 1000):
            model, training, _, _ = wrong.learn(y, x[:, -1], complete=True, smoothing=float(smoothing),
                                                terminal=float(terminal))
            filters[f"DKF, lambda_D {smoothing}, lambda_K {terminal}"] = (
                lambda y, model=model, learned=training.learned: model.estimate(learned, y[None], STRONG.mean).mean[0])
    rows = []
    for name, run in filters.items():
        found, new = run(y), run(new_y)
        rows.append({"filter": name, "MSE": mse(found, x), "thesis": TABLE2[name][0],
                     "MSE of the last 10": mse(found[:, -10:], x[:, -10:]), "thesis, last 10": TABLE2[name][1],
                     "MSE, new series": mse(new, new_x)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


TABLE3 = {   # first and last layer: K11 K12 K21 K22 K31 K32
    "KF": ((1, 0, 0, 1, 0, 0), (0.6227, 0.0146, 0.0146, 0.6227, 123.9904, 123.9904)),
    "DKF": ((1.0602, 0.0602, 0.0602, 1.0602, -0.4651, -0.4650),
            (0.9518, -0.0483, -0.0592, 0.9390, 0.3487, 0.3607)),
    "DKF, feed-forward": ((1.0001, -0.0002, 0.0001, 0.9998, -0.0923, -0.0922),
                          (0.6885, -0.3017, -0.2767, 0.7254, 0.1695, 0.1993))}
TABLE4 = {
    "KF": ((1, 0, 0, 1, 0, 0), (0.6226, 0.0144, 0.0144, 0.6226, 119.7517, 119.7517)),
    "DKF": ((1.0640, 0.0097, 0.1203, 1.0269, -1.0322, -0.9437), (1.0135, -0.1437, -0.0599, 0.8049, 0.3895, 0.4775)),
    "DKF, feed-forward": ((1.0013, -0.0043, 0.0013, 0.9957, -0.0908, -0.0859),
                          (1.0194, -0.0025, 0.0019, 0.9937, 0.0409, 0.1119))}


def weak():
    """Tables 3 and 4: gains of the first and of the last date, of one series, and what the estimates are worth."""
    rows = []
    for table, published, complete, steps in ((3, TABLE3, True, 120), (4, TABLE4, False, 1000)):
        y, x, start = WEAK.simulated(1, np.random.default_rng(SEED + table))
        kalman_states, kalman_gains = WEAK.kalman(y)
        made = {"KF": (kalman_states, kalman_gains)}
        for name, feed in (("DKF", False), ("DKF, feed-forward", True)):
            count = steps if table == 3 or not feed else 200
            model, training, states, found = WEAK.learn(y, x[:, -1], complete=complete, terminal=1e6, rate=1e-2,
                                                        steps=(0, 0, count), smoothing=1.0, feed_forward=feed)
            known = model.estimate(training.learned, y[None], WEAK.mean, x[None, :, -1]).mean[0]
            made[name] = (known, found)
            if feed:
                made["DKF, feed-forward in operation"] = (states, found)
        for name, (states, found) in made.items():
            for layer, index in (("first", 0), ("last", -1)):
                row = {"table": table, "filter": name, "layer": layer,
                       **{f"K{i + 1}{j + 1}": float(found[index, i, j]) for i in range(3) for j in range(2)},
                       "RMSE observed": float(np.sqrt(mse(states[..., :2], x[..., :2]))),
                       "RMSE third": float(np.sqrt(mse(states[..., 2], x[..., 2]))), "thesis": None}
                if name in published:
                    row["thesis"] = " ".join(f"{value:g}" for value in published[name][index])
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    return rows


def matrices():
    """Figure 6.10: covariances that are no multiples of the identity, and their mean diagonals."""
    true = STRONG.with_covariances([[9e-4, 2e-4], [2e-4, 1e-4]], [[3e-3, 8e-4], [8e-4, 4e-4]], 1e-2 * np.eye(2))
    mean = true.with_covariances(np.trace(true.Q) / 2 * np.eye(2), np.trace(true.R) / 2 * np.eye(2), true.P0)
    rng = np.random.default_rng(SEED + 10)
    y, x, _ = true.simulated(SERIES, rng)
    rows = []
    for name, model in (("mean diagonal", mean), ("true", true)):
        _, _, states, found = model.learn(y, smoothing=1.0)
        kalman_states, kalman_gains = model.kalman(y)
        rows.append({"covariances": name, "MSE of DKF": mse(states, x), "MSE of KF": mse(kalman_states, x),
                     "MSE of KF, true covariances": mse(true.kalman(y)[0], x),
                     "RMS of gains from KF's": float(np.sqrt(mse(found, kalman_gains)))})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


NOTES = (
    "Section 6.4.4, its systems and K = 50. What the thesis does not give was chosen: Adam at 0.01 for the gains, 600 "
    "steps (1000 for Figure 6.5; 120, 1000 and 200 in Tables 3 and 4 as its figures show), no stopping by whiteness, "
    "lambda_K = 1e6 and lambda_D = 1 in Tables 3 and 4, where observations weigh 1e8, and the covariances of Figure "
    "6.10. The draws are others than its own. ")
TABLES = {
    "gains": ("Gains that a deep Kalman filter learns, beside the Kalman gains (Figure 6.5)", gains,
              "Entries are root-mean-square differences over the dates. With many series and lambda_D = 0 the learned "
              "gains are the Kalman gains; a single series tells each gain in one direction only (6.4.10), and "
              "smoothing settles the other to within a few hundredths. Other P_k lead elsewhere, as in the thesis."),
    "covariances": ("Wrong covariances (Table 2)", covariances,
                    "Errors are of the states with their process noise. The stationary variance of the Kalman filter "
                    "with the stated covariances is 5.3e-4 (Riccati), which is ours; the thesis's 3.3e-4 is below what "
                    "is possible with them, so that its data must differ in a way that it does not state. Ratios "
                    "agree: DKF to the true filter 2.0 here, 2.3 there; the wrong filter to DKF 2.5 here, 2.7 there."),
    "weak": ("Weak observability (Tables 3 and 4)", weak,
             "Gains by row and column. As in the thesis the Kalman gains of the third state diverge, those learned do "
             "not. With complete backpropagation and the known end (Table 3) the third state is right to 1e-3 on the "
             "series learned from, without feed-forward; with it, and truncated (Table 4), it is not, unlike in the "
             "thesis, whose weights and rates for this are not given."),
    "matrices": ("Covariances that are not diagonally constant (Figure 6.10)", matrices,
                 "The figure has no numbers. Learned filters are as good as the Kalman filter told the same, and with "
                 "matrices better than with mean diagonals.")}


def main():
    wanted = sys.argv[1:] or list(TABLES)
    for name in wanted:
        begin = time.perf_counter()
        title, rows, note = TABLES[name]
        record(f"deepkalman_{name}", title, rows(), SEED, NOTES + note)
        print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
